"""New users of Keycloak get a DID.

::

    Keycloak --count, pages--> plan --> inbox --dispatch--> run --> platform

``discovery`` and ``sensor`` bring users in, ``job`` registers their DIDs.
"""
