"""What a worker and its template say to each other: one datagram a word."""

import json
import socket
from dataclasses import asdict, dataclass

MAX_BYTES = 4096


@dataclass(frozen=True)
class Start:
    """To the template: begin a run."""

    run_id: str


@dataclass(frozen=True)
class Stop:
    """To the template: send a signal to a run's process."""

    run_id: str
    signal: int


@dataclass(frozen=True)
class Ready:
    """From the template: the code is loaded."""

    seconds: float


@dataclass(frozen=True)
class Started:
    """From the template: a run has a process."""

    run_id: str
    pid: int


@dataclass(frozen=True)
class Ended:
    """From the template: a run's process is gone.

    Attributes:
        run_id: The run.
        code: Its exit code, or a signal's number below 0.
    """

    run_id: str
    code: int


Word = Start | Stop | Ready | Started | Ended
_WORDS = {each.__name__: each for each in (Start, Stop, Ready, Started, Ended)}


def send(link: socket.socket, word: Word) -> None:
    """Send a word."""
    link.send(json.dumps([type(word).__name__, asdict(word)]).encode())


def receive(link: socket.socket) -> Word | None:
    """Take a word; ``None``: the other side is gone."""
    try:
        data = link.recv(MAX_BYTES)
    except ConnectionResetError:
        return None
    if not data:
        return None
    name, fields = json.loads(data)
    word: Word = _WORDS[name](**fields)
    return word
