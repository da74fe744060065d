"""Where the servers of a benchmark keep what they write."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder; whatever happens, nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="moderate-bench-") as name:
        folder = Path(name)
        # Postgres does not run as root, and must get to its own.
        folder.chmod(0o711)
        yield folder
