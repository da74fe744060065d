"""Ports for tests of what is away."""

CLOSED_PORT = 1
"""Nobody listens there (tcpmux), whatever else a test run starts.

A free port that is chosen when tests are collected may be somebody's by the
time that they run.
"""
