"""Measures variants: quality with intervals, speed, and the contents of their graphs."""
