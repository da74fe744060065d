"""Workloads as commands: real processes, a real object store."""
