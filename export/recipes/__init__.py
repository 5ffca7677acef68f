"""Recipes that ship and work offline, each with its small Python beside it."""
