"""The pure parts of the flows."""
