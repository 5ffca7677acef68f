"""Runs the open-loop load under Locust's own command, web page and workers."""
