"""Load tests that know only a URL. The only room that names locust."""
