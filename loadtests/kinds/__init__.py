"""The kinds of load test: what each sends, which gates and guards it has, and what it says."""
