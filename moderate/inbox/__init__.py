"""Work items, leases and cursors in Postgres.

An event that left its source is a row here, until a person prunes it. The
states and their transitions are drawn in ``docs/architecture.md``; each
transition is one named statement in ``sql/``.
"""
