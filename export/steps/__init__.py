"""The steps of a recipe, with one module per step."""
