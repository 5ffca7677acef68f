"""The report of an export: tables and pictures of what was proven, on one page."""
