"""The store of the keeper, in SQLite or PostgreSQL."""
