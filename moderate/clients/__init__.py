"""Clients of the peers, one module each; no Dagster, no SQL, no settings."""
