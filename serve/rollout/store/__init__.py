"""What the keeper writes down, in SQLite or PostgreSQL."""
