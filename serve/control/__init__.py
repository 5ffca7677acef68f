"""The control API: what people and programs may ask of a running server."""
