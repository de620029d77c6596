"""The steps of a trader, each a transaction under its lease: recover, perceive, decide, send, book, close."""
