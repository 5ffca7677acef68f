"""Ray Serve: the only room that names ray."""
