"""The commands that use the control API of a running server."""
