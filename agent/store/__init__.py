"""What Watchkeeper remembers: tables, sessions, the audit chain, migrations. SQLite and PostgreSQL."""
