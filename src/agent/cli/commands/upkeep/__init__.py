"""Commands that look after the database and the lake."""

TITLE = "database and lake"
