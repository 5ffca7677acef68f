"""The HTTP server: the protocol's routes, embeddings, metrics, and access checks."""
