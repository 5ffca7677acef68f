"""Rewrites graphs into equivalent ones that onnxruntime runs faster, with one pattern per module."""
