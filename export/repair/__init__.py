"""Repairs graphs that came as files, so that the export can work on them."""
