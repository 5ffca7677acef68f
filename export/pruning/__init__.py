"""Ranks and removes weights, channels and heads."""
