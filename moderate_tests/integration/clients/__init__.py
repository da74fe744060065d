"""Each client against the real peer."""
