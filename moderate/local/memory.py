"""What a stack remembers from one start to the next: ports and secrets."""

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from moderate.local.ports import free_port

SECRET_BYTES = 24


def choose_ports(
    file: Path, names: Iterable[str], given: Mapping[str, int]
) -> dict[str, int]:
    """The port of each name: given, remembered in ``file``, or a free one."""
    known = {**_read(file), **given}
    ports: dict[str, int] = {}
    for name in names:
        port = int(known.get(name) or free_port())
        while name not in known and port in ports.values():
            port = free_port()
        ports[name] = port
    return ports


def choose_secrets(file: Path, names: Iterable[str]) -> dict[str, str]:
    """A secret for each name: remembered in ``file``, or a new one."""
    known = _read(file)
    return {
        name: str(known.get(name) or secrets.token_urlsafe(SECRET_BYTES))
        for name in names
    }


def remember(file: Path, values: Mapping[str, str | int]) -> None:
    """Write ``values`` to ``file``, which only its owner may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(values, indent=2) + "\n")
    unfinished.rename(file)


def _read(file: Path) -> dict[str, str | int]:
    if not file.exists():
        return {}
    found: dict[str, str | int] = json.loads(file.read_text())
    return found
