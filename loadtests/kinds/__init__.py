"""The kinds of load test. Each module sends the load, checks it and makes the report."""
