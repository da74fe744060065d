"""What loading the code location costs, in a fresh process each time."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.report import Row, spread

RUNS = 5
_PROGRAM = """
import resource
import moderate.definitions
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _load() -> tuple[float, float, int]:
    """Return wall and CPU seconds, and the peak memory in KiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        text=True,
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, int(done.stdout)


def measure() -> Sequence[Row]:
    """Load it some times; the first run, which warms the disk, is not
    counted.
    """
    _load()
    runs = [_load() for _ in range(RUNS)]
    walls, cpus, memories = zip(*runs, strict=True)
    return (
        Row(
            "load the code location: wall",
            spread(walls),
            "3 s",
        ),
        Row(
            "load the code location: CPU",
            spread(cpus),
            "",
            "reference: 13.6 to 16.1 s",
        ),
        Row(
            "load the code location: memory",
            f"{max(memories) / 1024:.0f} MiB",
            "250 MB",
            "reference: 456 MiB",
        ),
    )
