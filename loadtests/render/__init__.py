"""Renders the JSON report as a table, markdown, JUnit XML and an HTML page."""
