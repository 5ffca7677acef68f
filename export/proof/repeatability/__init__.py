"""Checks that a graph repeats its answers: on the same rows again, beside other rows, and padded."""
