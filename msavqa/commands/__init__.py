"""The command line, one file a command; whatever is slow to import is imported inside the command."""
