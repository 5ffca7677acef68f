"""Judges the samples of a load test, and whether they can be trusted."""
