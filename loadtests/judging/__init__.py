"""What a load test concludes from its samples, and whether they can be trusted."""
