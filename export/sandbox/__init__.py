"""Runs the user's code during an export in a separate process."""
