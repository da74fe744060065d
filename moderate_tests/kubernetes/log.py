"""A container's log, as a kubelet keeps and serves it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Condition


@dataclass
class Log:
    """What a container wrote, by line, with the time of each."""

    lines: list[tuple[datetime, bytes]] = field(default_factory=list)
    is_over: bool = False
    more: Condition = field(default_factory=Condition)

    def add(self, line: bytes) -> None:
        with self.more:
            self.lines.append((datetime.now(UTC), line))
            self.more.notify_all()

    def end(self) -> None:
        with self.more:
            self.is_over = True
            self.more.notify_all()

    def read(self, query: dict[str, str]) -> Iterator[bytes]:
        """Yield lines as the kubelet does."""
        since = None
        if "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"])
        sent = 0
        while True:
            with self.more:
                if sent == len(self.lines):
                    if self.is_over or query.get("follow") != "true":
                        return
                    self.more.wait(1)
                new = self.lines[sent:]
            sent += len(new)
            for when, line in new:
                if since and when < since:
                    continue
                yield (_time(when) if query.get("timestamps") else b"") + line


def _time(when: datetime) -> bytes:
    """Write a time with nanoseconds, as container runtimes do."""
    text = when.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z ".encode()
