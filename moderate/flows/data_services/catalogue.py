"""Finds the services: those here, and those of installed packages."""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points

from dagster import JobDefinition

from moderate.flows.data_services import services

ENTRY_POINTS = "moderate.data_services"
"""Group by which another package names its modules with ``JOBS``."""


def jobs() -> Sequence[JobDefinition]:
    """Return the jobs of all services, in the order of their files."""
    modules = [
        import_module(f"{services.__name__}.{found.name}")
        for found in pkgutil.iter_modules(services.__path__)
    ]
    modules += [each.load() for each in entry_points(group=ENTRY_POINTS)]
    return [job for module in modules for job in module.JOBS]
