"""How weights are trained: by labels, or to answer like the baseline."""
