"""The control API from the command line."""
