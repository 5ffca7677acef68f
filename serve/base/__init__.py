"""The ground that all of the serving library stands on; it imports nothing of ours."""
