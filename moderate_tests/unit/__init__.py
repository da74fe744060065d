"""Rules of single modules, without services."""
