"""Which code a process has loaded, and whether it is still what lies there."""

import hashlib
import importlib.util
import os
from pathlib import Path

SUFFIXES = frozenset({".py", ".sql", ".html", ".css", ".js"})
IMAGE_VARIABLE = "DAGSTER_CURRENT_IMAGE"
"""Where the code server finds its image; the worker is given the same."""


def image() -> str | None:
    """Return the container image of this process, if it was told one."""
    return os.environ.get(IMAGE_VARIABLE) or None


def fingerprint(module: str) -> str:
    """Return what changes when a file of the module's package does.

    Raises:
        ModuleNotFoundError: There is no such package.
    """
    digest = hashlib.sha256()
    for package in sorted({"moderate", module.split(".", 1)[0]}):
        for file in sorted(_files(package)):
            facts = file.stat()
            digest.update(
                f"{file}:{facts.st_size}:{facts.st_mtime_ns}".encode()
            )
    return digest.hexdigest()


def _files(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    if found is None:
        msg = f"no package {package}"
        raise ModuleNotFoundError(msg)
    return [
        file
        for place in found.submodule_search_locations or ()
        for file in Path(place).rglob("*")
        if file.suffix in SUFFIXES
    ]
