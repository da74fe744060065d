"""The local stack with real programs and real signals."""
