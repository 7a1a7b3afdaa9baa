"""The command line: one verb a file; the only room that prints."""
