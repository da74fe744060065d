"""The services, a file each, with its jobs in ``JOBS``."""
