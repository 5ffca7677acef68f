"""Bundles: the contract between the export and the server."""
