"""Counters of a model's traffic, as sums that can be added over gateways and restarts."""
