"""The account of one task: what of it the server took, and what it did not.

The framework swallows many errors (a bulk request that found no server, a
list of tables that could not be read), so its own word is not enough: a part
counts as written when an answer of the server names it, and one that no
answer names has failed, whatever the framework says.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moderate.clients.open_metadata import RENEWAL
from moderate.flows.metadata_ingestion.fqns import fqn_of
from moderate.flows.metadata_ingestion.task import Outcome, Task
from moderate.inbox.metadata_sources import Part

MOST_LINES = 2000
"""Lines of the framework's log that are looked through for reasons."""

LONGEST_REASON = 500

UNAUTHORIZED = 401
REFUSED = f"OpenMetadata refuses the token; {RENEWAL} (401)"
SILENT = "the framework left it out without a word"
BUFFER = "Entity Buffer"
"""What the framework's sink calls its bulk requests."""


class Account:
    """What became of the parts of a task.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._parts: dict[str, Part] = {}
        self._written: set[str] = set()
        self._failed: dict[str, str] = {}
        self._removed: list[Part] = []
        self._comments: dict[Part, Mapping[str, str]] = {}
        self._notes: list[str] = []
        self._errors: list[str] = []
        self._lines: list[str] = []
        self._unanswered = SILENT
        self._requests = 0
        for part in task.changed:
            try:
                self._parts[fqn_of(task, part)] = part
            except ValueError as error:
                self._failed[part.name] = f"no name for it: {error}"

    @property
    def expected(self) -> Iterable[str]:
        """The fully qualified names of all parts."""
        return self._parts

    def part(self, fqn: str) -> Part | None:
        """Return the part of a fully qualified name."""
        return self._parts.get(fqn)

    def wrote(self, fqn: str) -> None:
        """Note that the server has a part."""
        self._written.add(fqn)

    def certain(self, fqn: str) -> Part | None:
        """Return a part that was written, if nothing speaks against it.

        Once something failed of which nobody knows what, nothing that comes
        after it is certain.
        """
        if self._errors or fqn in self._failed or fqn not in self._written:
            return None
        return self._parts.get(fqn)

    def has_comments(self, part: Part) -> bool:
        """Return whether a part has comments, or had any."""
        return bool(self._comments.get(part) or self._task.comments.get(part))

    def failed(self, name: str, reason: str) -> None:
        """Note that something failed, by any of its names."""
        self._failed.setdefault(self._known_as(name) or name, reason)

    def removed(self, part: Part) -> None:
        """Note that the server does not have a part any more."""
        self._removed.append(part)

    def commented(self, part: Part, hashes: Mapping[str, str]) -> None:
        """Note the comments that a part has in the source."""
        self._comments[part] = hashes

    def noted(self, note: str) -> None:
        """Note what a person should know."""
        self._notes.append(note)

    def broke(self, reason: str) -> None:
        """Note that something failed of which nobody knows what it was."""
        self._errors.append(reason[:LONGEST_REASON])

    def requested(self, method: str, path: str, error: Any = None) -> None:
        """Note a request; also one that only reads."""
        writes = method.upper() != "GET"
        self._requests += writes
        if error is None:
            return
        text = f"{method} {path.split('?', maxsplit=1)[0]}: {error}"[
            :LONGEST_REASON
        ]
        self._unanswered = text
        self._lines.append(text)
        if getattr(error, "status_code", None) == UNAUTHORIZED:
            self.broke(REFUSED)
        elif writes and "/bulk" not in path:
            # Of a bulk request each part is looked for anyway.
            self.broke(text)

    def bulk(self, result: Any) -> None:
        """Note the answer to a bulk request, which is 200 also if it failed.

        Args:
            result: The framework's ``BulkOperationResult``.
        """
        for each in result.successRequest or ():
            if isinstance(each.request, str):
                self.wrote(each.request)
        for each in result.failedRequest or ():
            name = _name_of(each.request)
            reason = str(each.message)[:LONGEST_REASON]
            if name is not None:
                self.failed(name, reason)
            else:
                self._lines.append(reason)

    def said(self, failures: Iterable[Any]) -> None:
        """Note what the framework says that failed.

        Args:
            failures: Its ``StackTraceError``s.
        """
        for failure in failures:
            if failure.name == BUFFER:
                continue
            text = str(failure.error)[:LONGEST_REASON]
            fqn = self._named_in(f"{failure.name} {text}")
            if fqn is None:
                self.broke(f"{failure.name}: {text}")
            else:
                self._failed.setdefault(fqn, text)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what the framework logs: reasons that it tells nobody."""
        handler = _Keeper(self._lines)
        logger = logging.getLogger("metadata")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def outcome(self) -> Outcome:
        """Return what became of the task, without its costs."""
        for fqn in self._parts.keys() - self._written - self._failed.keys():
            self._failed[fqn] = self._reason(fqn)
        written = self._written - self._failed.keys()
        return Outcome(
            written=tuple(
                part for fqn, part in self._parts.items() if fqn in written
            ),
            removed=tuple(self._removed),
            comments=self._comments,
            notes=tuple(self._notes),
            failed=tuple(sorted(self._failed.items())),
            error="; ".join(dict.fromkeys(self._errors)) or None,
            requests=self._requests,
        )

    def _reason(self, fqn: str) -> str:
        short = fqn.rpartition(".")[2].strip('"')
        names = (self._parts[fqn].name, short)
        for line in reversed(self._lines):
            if any(name and name in line for name in names):
                return line
        return self._unanswered

    def _known_as(self, name: str) -> str | None:
        if name in self._parts:
            return name
        ends = [
            fqn
            for fqn in self._parts
            if fqn.endswith((f".{name}", f'."{name}"'))
        ]
        return ends[0] if len(ends) == 1 else None

    def _named_in(self, text: str) -> str | None:
        for fqn in self._parts:
            # Not the beginning of another's name.
            if re.search(rf"{re.escape(fqn)}(?![\w\"]|\.\S)", text):
                return fqn
        for fqn, part in self._parts.items():
            short = fqn.rpartition(".")[2].strip('"')
            if f"[{short}]" in text or f"[{part.name}]" in text:
                return fqn
        return None


class _Keeper(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < MOST_LINES:
            self._lines.append(record.getMessage()[:LONGEST_REASON])


def _name_of(request: Any) -> str | None:
    if isinstance(request, str):
        return request
    if isinstance(request, dict):
        name = request.get("name")
        parent = request.get("databaseSchema") or request.get("database")
        quoted = f'"{name}"' if name and "." in name else name
        return f"{parent}.{quoted}" if parent and name else name
    return None
