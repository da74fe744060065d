"""What the data services compute: on files, in bounded memory, no Dagster.

polars, numpy and pyarrow are imported at module level here, so nothing
outside imports this package except inside functions.
"""
