"""Opening a database and bringing its tables up to date: what differs between SQLite and PostgreSQL."""
