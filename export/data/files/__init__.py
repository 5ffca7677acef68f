"""Reads the rows of a model from files (.npz, .npy, .parquet, .csv, .jsonl, a folder of images), and splits
them."""
