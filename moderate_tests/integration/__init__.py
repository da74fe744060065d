"""Our code against the real services."""
