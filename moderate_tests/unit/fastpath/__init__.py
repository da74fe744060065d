"""The fast path, without services."""
