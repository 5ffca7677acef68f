"""Weights and activations as integers: which layers, with which ranges, by which method."""
