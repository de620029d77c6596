"""Commands about tries."""

TITLE = "what if"
