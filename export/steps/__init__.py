"""What a recipe can do to a model: one verb a file."""
