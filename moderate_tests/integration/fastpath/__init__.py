"""The fast path: real Postgres, real workers, runs that do little."""
