"""JSON Schemas and words of the OpenAPI document."""
