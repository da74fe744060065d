"""What runs inside a container of its own, one package for each analysis.

A workload is a command: it takes its orders from the environment, says how
it ended by its exit code and by the last line on standard error, and imports
neither Dagster nor anything else of ``moderate``. So its image stays small,
and nothing that goes wrong in it can harm the worker.
"""
