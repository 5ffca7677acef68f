"""How weights, channels and heads are weighed and removed."""
