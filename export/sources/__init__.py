"""Where trained models come from: one file per kind of source, `read.py` in front."""
