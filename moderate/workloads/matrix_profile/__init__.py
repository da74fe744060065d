"""Matrix profile of one column of a table, as a report in HTML.

Run it as ``python -m moderate.workloads.matrix_profile``. It takes no
arguments; :mod:`moderate.workloads.matrix_profile.config` lists the
environment variables, :mod:`moderate.workloads.matrix_profile.errors` the
exit codes.

The way of the data, one module for each step::

    download -> table (csv_table | parquet_table) -> series -> window
             -> profile (kernel) -> findings -> report -> upload
"""
