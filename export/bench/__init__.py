"""Benchmarks our variants against each other and against other tools on the same file, in one run."""
