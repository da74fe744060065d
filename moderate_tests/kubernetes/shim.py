"""Runs one container's command; all that it begins ends with it.

``python shim.py REPORT_FD PROGRAM [ARGUMENT...]``: as containerd-shim with a
process namespace, but for any user. SIGTERM is passed on, SIGUSR1 kills, and
so does the end of the standard input, which the node holds.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def descendants(pid: int) -> list[int]:
    """Return all that a process began."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_bytes()
        except OSError:
            continue
        parent = int(stat.rpartition(b")")[2].split()[1])
        children.setdefault(parent, []).append(int(path.name))
    found: list[int] = []
    unseen = [pid]
    while unseen:
        begun = children.get(unseen.pop(), [])
        found += begun
        unseen += begun
    return found


def kill_all(*_: object) -> None:
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def kill_at_end_of_input() -> None:
    os.read(0, 1)
    kill_all()


def main() -> None:
    report = int(sys.argv[1])
    os.set_inheritable(report, False)  # noqa: FBT003
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(signal.SIGTERM))
    try:
        child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    except OSError as error:
        text = f'exec: "{sys.argv[2]}": {error.strerror}'
        os.write(report, json.dumps({"error": text}).encode())
        return
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(15))
    signal.signal(signal.SIGUSR1, kill_all)
    if told:
        child.terminate()
    threading.Thread(target=kill_at_end_of_input, daemon=True).start()
    code = child.wait()
    while True:
        kill_all()
        try:
            os.wait()
        except ChildProcessError:
            break
    code = code if code >= 0 else 128 - code
    os.write(report, json.dumps({"exit": code}).encode())


if __name__ == "__main__":
    main()
