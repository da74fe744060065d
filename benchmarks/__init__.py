"""What the service costs: run by `task bench`, never by a timed test."""
