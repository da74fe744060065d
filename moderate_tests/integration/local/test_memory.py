"""Ports and secrets are chosen once."""

import stat
from pathlib import Path

from moderate.local.memory import choose_ports, choose_secrets, remember
from moderate.local.ports import is_free


def test_ports_are_free_different_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    chosen = choose_ports(file, ["a", "b", "c"], {})
    assert len(set(chosen.values())) == 3
    assert all(is_free(port) for port in chosen.values())
    remember(file, chosen)
    assert choose_ports(file, ["a", "b", "c"], {}) == chosen


def test_a_given_port_wins_over_a_remembered_one(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    remember(file, {"a": 21_000, "b": 21_001})
    chosen = choose_ports(file, ["a", "b"], {"a": 22_000})
    assert chosen == {"a": 22_000, "b": 21_001}


def test_secrets_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    first = choose_secrets(file, ["one", "two"])
    assert first["one"] != first["two"]
    remember(file, first)
    assert choose_secrets(file, ["one", "two"]) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_is_new_leaves_the_others_alone(tmp_path: Path) -> None:
    """A stack of an older release goes on with its data."""
    file = tmp_path / "secrets.json"
    remember(file, {"one": "kept"})
    chosen = choose_secrets(file, ["one", "two"])
    assert chosen["one"] == "kept"
    assert chosen["two"]
