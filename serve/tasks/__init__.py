"""What the answers of a model mean: how two of them are compared, and which figures say how good they are."""
