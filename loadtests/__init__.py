"""Load tests: they ask a server over HTTP, as its clients do. The only room that names Locust."""
