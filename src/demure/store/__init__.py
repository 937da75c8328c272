"""What is kept: keys, decisions, reviews, verdicts, events, the audit log, accounts. SQLite or PostgreSQL."""
