"""What a variant is worth: quality with intervals, speed, anatomy, and the report."""
