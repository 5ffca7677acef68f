"""What a variant is worth: quality with intervals, speed, and what its graph consists of."""
