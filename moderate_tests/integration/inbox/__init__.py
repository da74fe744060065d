"""The inbox against a real Postgres."""
