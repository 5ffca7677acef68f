"""The four splits of a recipe: read, proven disjoint, tokenized."""
