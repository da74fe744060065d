"""The local stack: every part of the platform as an ordinary process.

Nothing here is needed in production. ``python -m moderate.local`` starts
Postgres, RabbitMQ, Keycloak, an S3 server, the platform API's emulator and
Dagster without Docker; the tests use the same service classes.
"""
