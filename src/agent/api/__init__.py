"""The HTTP API and the pages: turns requests into calls of the rooms below, and what they return into answers."""
