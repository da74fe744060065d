"""The processes of this machine, as ``/proc`` shows them.

Only the standard library is imported: the supervisor uses this module too.
"""

import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

# Field of /proc/<pid>/stat after the name in parentheses (proc(5)).
_PARENT = 1


def children_by_parent() -> Mapping[int, list[int]]:
    """Return the process numbers of all children, by their parent's."""
    children = defaultdict(list)
    for pid in _process_numbers():
        fields = _stat(pid)
        if fields:
            children[int(fields[_PARENT])].append(pid)
    return children


def descendants(pid: int) -> list[int]:
    """Return the process numbers of all that a process began."""
    children = children_by_parent()
    found: list[int] = []
    unseen = [pid]
    while unseen:
        begun = children.get(unseen.pop(), [])
        found += begun
        unseen += begun
    return found


def kill_marked(marker: str, token: str) -> int:
    """Kill the live processes that have a variable in their environment.

    Processes of other users are passed over: they don't show theirs.

    Returns:
        How many there were.
    """
    wanted = f"{marker}={token}".encode()
    return sum(_kill_if_marked(pid, wanted) for pid in _process_numbers())


def _kill_if_marked(pid: int, wanted: bytes) -> int:
    """Kill one process through a handle, which no other can take over."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return 0
    try:
        # Empty once a process has ended.
        env = Path(f"/proc/{pid}/environ").read_bytes()
        if wanted not in env.split(b"\0"):
            return 0
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return 0
    finally:
        os.close(handle)
    return 1


def _process_numbers() -> Iterator[int]:
    # Plain names: this runs often, and paths cost ten times as much.
    names = os.listdir("/proc")  # noqa: PTH208
    return (int(name) for name in names if name.isdigit())


def _stat(pid: int) -> list[bytes]:
    """Return what follows the name in a process's stat; [] if it's gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return text.rpartition(b")")[2].split()
