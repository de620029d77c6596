"""Commands about outputs and releases."""

TITLE = "releases"
