"""The contract of launchers: the same cases on each of them."""
