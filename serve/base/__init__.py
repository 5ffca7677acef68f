"""Basic types of the serving library: records, errors, settings, routes. Imports no other folder."""
