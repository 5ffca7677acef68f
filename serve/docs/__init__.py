"""The documentation that the server itself gives: an OpenAPI document, and a page made of it."""
