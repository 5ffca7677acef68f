"""Observability of a running server: metrics, access log and traces."""
