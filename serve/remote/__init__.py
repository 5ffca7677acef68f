"""The control API from the command line: what a person asks of a server, here or far away."""
