"""The wire: the Open Inference Protocol, version 2."""
