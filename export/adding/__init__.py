"""Adds a candidate from another source as a variant of a model in the repository."""
