"""Rows for a model without data: random values that the model accepts."""
