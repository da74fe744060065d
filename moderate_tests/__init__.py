"""Tests of ``moderate``."""
