"""Reads the four splits of a recipe's data, proves that they are disjoint, and tokenizes text."""
