"""Serves the same bundle with other servers, for side-by-side benchmarks."""
