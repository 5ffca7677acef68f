"""Adding: a candidate from elsewhere becomes a variant of a model that stands in the repository."""
