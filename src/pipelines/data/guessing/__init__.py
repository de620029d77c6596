"""What files of market data most likely mean, as settings that a person reads and corrects. Nothing here reads data for
a run: that is done by file_tables, by settings alone."""
