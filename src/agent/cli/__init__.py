"""The `agent` command: one file a command in commands/, found by its name and imported when it is typed."""
