"""Data services: clean, anonymise and pseudonymise data sets.

Each service is one file in ``services``, and is found there; nothing else
has to name it.
"""
