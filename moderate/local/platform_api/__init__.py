"""An emulator of the platform API, as its clients see it.

It stands in for the gateway (APISIX with Keycloak), the platform API and the
trust service behind it: every endpoint that our clients touch, with the
quirks that were recorded from the real servers. Where the recording is
silent the emulator follows the API's published OpenAPI document, and the
docstring says so. ``python -m moderate.local.platform_api`` starts it; every
setting is in ``config``.

What is real: tokens are Keycloak's own, objects lie in an S3 server, messages
go to a RabbitMQ broker. What is played: the trust service (a delay and a
failure rate), and the database (SQLite, with a bound of connections).

What differs from the real peer, on purpose:

- The gateway asks Keycloak for a decision on every request. Here a token's
  signature, issuer, expiry and roles are checked with the realm's public
  keys, so a stopped Keycloak does not make every request fail with a 500;
  a route fault does (``faults``).
- The addresses behind the gateway are not offered.
"""
