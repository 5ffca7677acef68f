"""Load tests, which query a server over HTTP as its clients do. Only this package imports Locust."""
