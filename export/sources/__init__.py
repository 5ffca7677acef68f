"""Reads trained models, with one module per kind of source; `read_trained.py` selects it."""
