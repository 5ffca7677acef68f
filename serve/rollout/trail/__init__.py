"""The trail of a model: every change to its traffic, in sealed entries."""
