"""What is counted of a model's traffic, as sums that add up over gateways and restarts."""
