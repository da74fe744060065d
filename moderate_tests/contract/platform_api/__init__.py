"""What the platform API does, as its clients must expect it.

The same cases run against the emulator and, when
``MODERATE_CONTRACT_API_URL``, ``MODERATE_CONTRACT_API_USERNAME`` and
``MODERATE_CONTRACT_API_PASSWORD`` (an account with the role ``api_admin``)
are set, against a live platform API.
Nothing is removed there afterwards: users, assets, objects and one job stay.
Use a platform that is for tests.

The facts were recorded from the real servers. Each recorded exchange has a
label, and ``labels`` checks that none is forgotten. Left out on purpose:

- everything sent straight at the API behind its gateway (``*.direct*``):
  no client reaches that address, and the emulator does not offer it;
- ``object.upload.bulk``: thirty times ``object.upload.only_file``.

Against a live platform, cases are skipped, each with its reason, that need
another user than the given one, the emulator's controls (a failing trust
service, a crash, an expired token), or the broker.
"""
