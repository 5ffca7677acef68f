"""Runs the variants of a model: sessions, queues, batches and shadows."""
