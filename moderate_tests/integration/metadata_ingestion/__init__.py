"""The ingestion against a real Postgres, S3 and the emulator."""
