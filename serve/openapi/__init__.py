"""The JSON Schemas and texts of the OpenAPI document."""
