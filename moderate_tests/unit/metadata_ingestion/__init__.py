"""The parts of the ingestion that need no server."""
