"""Ten minutes of load and faults, and a ledger of what came of it.

``python -m moderate_tests.soak``; see ``docs/soak.md``.
"""
