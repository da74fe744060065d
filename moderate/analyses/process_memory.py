"""Memory of a process attempt: how much it uses, and who ran out of it.

Only the standard library is imported: the supervisor uses this module too.
"""

import os
from collections.abc import Collection
from pathlib import Path

from moderate.analyses.process_tree import descendants

CHECK_SECONDS = 0.1
"""The time between two checks."""

TREE_CHECKS = 10
"""Once in so many checks, new processes are looked for."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KIBIBYTE = 1024


class MemoryGuard:
    """Watches the memory of all processes that this one began."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._checks = 0
        self._pids: list[int] = []

    def passed(self) -> bool:
        """Whether they use more than they may, as far as is known."""
        if self._limit is None:
            return False
        if self._checks % TREE_CHECKS == 0:
            self._pids = descendants(os.getpid())
        self._checks += 1
        # The cheap number is never too low; only then the dear one counts.
        return (
            _resident_bytes(self._pids) > self._limit
            and _proportional_bytes(self._pids) > self._limit
        )


def kernel_memory_kills() -> int:
    """Return how often the kernel killed for want of memory since boot."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def _resident_bytes(pids: Collection[int]) -> int:
    """Return the memory in use, counting shared pages once per process."""
    return sum(_statm_bytes(pid) for pid in pids)


def _proportional_bytes(pids: Collection[int]) -> int:
    """Return the memory in use, with shared pages divided by their users.

    Exact, but dear: the kernel walks the page tables. Where it doesn't tell,
    a process counts with its resident memory.
    """
    return sum(_pss_bytes(pid) for pid in pids)


def _statm_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/statm").read_bytes()
    except OSError:
        return 0
    return int(text.split()[1]) * _PAGE_BYTES


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return _statm_bytes(pid)
    sizes = (line.split()[1] for line in lines if line.startswith(b"Pss:"))
    return sum(int(size) for size in sizes) * _KIBIBYTE
