"""Bench: our variants beside each other and beside other tools' on the same file, in one run."""
