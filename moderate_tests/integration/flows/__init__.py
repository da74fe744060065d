"""Flows through their sensors and runs, with real services."""
