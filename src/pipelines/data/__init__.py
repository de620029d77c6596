"""What comes in: tables of files, their rows and times, merging, and the data contract's checks."""
