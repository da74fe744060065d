"""Event-driven sensor and ingestion workers for a building-energy data space.

Nothing is wired on import: the composition root is ``moderate.definitions``.
"""
