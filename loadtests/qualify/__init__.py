"""Qualifies a candidate in four stages: quality, capacity, shadow and canary."""
