"""Quantizes weights and activations to integers: selection of layers, ranges, and methods."""
