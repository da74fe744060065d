"""Looks at the service from outside: the numbers that people are shown.

``numbers`` computes them, once, for the UI, ``moderate status`` and the
metrics; ``peers`` probes the peers; ``doctor`` checks an installation and
says what to do. No Dagster: what needs it is given.
"""
