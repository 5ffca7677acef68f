"""ONNX graphs: how they are read, written, run and proven."""
