"""Tables in files of many shapes, read by the rules of a dataset: the work behind the source `files`."""
