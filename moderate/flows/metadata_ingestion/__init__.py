"""Metadata and profiles of databases and objects, for OpenMetadata.

``find_*`` sees what there is and what of it has changed (``catalogue``,
``prefixes``, ``plan``), without the ingestion framework. Each step then has
the framework carry out an ``Order`` (``framework``) in a process of its own
(``workshop``), and what succeeded is remembered, table by table.
"""
