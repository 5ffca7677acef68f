"""Reads, writes and runs ONNX graphs, and proves that they answer like their sources."""
