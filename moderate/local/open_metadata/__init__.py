"""An emulator of OpenMetadata, as the ingestion framework sees it.

It stands in for an OpenMetadata 1.12.6 server: every endpoint that the
official client (``openmetadata-ingestion`` 2.0.6) touches when it brings in
the metadata and the profiles of databases and of object storage. Statuses,
shapes and error bodies are those that were recorded from the real server;
where the recordings are silent the emulator follows the client's own code or
the server's published source, and a comment says so.
``python -m moderate.local.open_metadata`` starts it.

What is real: what is sent is validated with the framework's generated models,
so a wrong field is refused here as it is there; tokens are checked. What is
played: everything is kept in memory, and is gone when the process ends.

What differs from the real server, on purpose:

- Tokens are signed with a shared secret, not with the server's RSA key.
- Answers are not compressed, and ``ETag`` values have no ``--gzip`` at their
  end (``If-Match`` takes both).
- Two changes within ten minutes are two versions; the server makes one of
  them.
- Search knows exact values of fields and shell patterns, no query language.
"""
