"""The control API: its operations, their HTTP routes, and the command line."""
