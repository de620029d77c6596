"""One file a source. The file's name is what users type in `[sources.NAME]`."""
