"""Qualify: one chain of evidence about one candidate: quality, capacity, shadow, canary."""
