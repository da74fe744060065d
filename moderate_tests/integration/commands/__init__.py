"""The ``moderate`` command on a real Postgres."""
