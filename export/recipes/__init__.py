"""Recipes that are shipped and work offline, each with a small Python module."""
