"""Where trained models come from: one file per kind of source, `read_trained.py` in front."""
