"""The Launcher protocol: what an analysis needs from where it runs.

An *attempt* is one try at one work item; its name derives from the item and
its dispatch number, so a restarted worker finds what an earlier one launched.
The caller, an op in a run's main thread, goes::

    prepare -> stop_earlier -> launch -> wait_until_finished
            -> logs -> (store log and outcome) -> clean_up

Any of these may be repeated after a crash, by any worker that has the same
launcher settings. docs/analyses.md tells how to add a launcher; the contract
suite (``moderate_tests/contract/launchers``) says what it must do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol, Self

from pydantic import SecretStr

from moderate.analyses.outcomes import Outcome, Reason
from moderate.errors import TemporaryError

MAX_NAME_CHARS = 63
"""The longest name that Kubernetes allows."""

DEFAULT_STOP_GRACE = timedelta(seconds=10)

_NAME = re.compile(r"(?P<kind>.+)-(?P<item>\d+)-d(?P<dispatch>\d+)")
_KIND = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UnreachableError(TemporaryError):
    """Where attempts run can't be reached, or can't answer now."""


class RefusedError(TemporaryError):
    """Where attempts run we may not do it: a person mends our rights."""


class NoRoomError(TemporaryError):
    """Where attempts run there is no room for one more."""


class AttemptRunningError(TemporaryError):
    """What was asked for must wait until an attempt is gone."""


class SupersededError(TemporaryError):
    """A later attempt at the same item exists: this one may not start."""


@dataclass(frozen=True, order=True)
class AttemptId:
    """Which try at which work item.

    Args:
        kind: The item's kind: lower-case letters, digits and dashes.
        item_id: The item's number in the inbox.
        dispatch: The item's dispatch number, which never goes back.

    Raises:
        ValueError: The parts don't make a name that every launcher can use.
    """

    kind: str
    item_id: int
    dispatch: int

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise ValueError(
                f"kind {self.kind!r}: expected lower-case letters, digits "
                "and dashes, with a letter first and no dash last"
            )
        if self.item_id < 0 or self.dispatch < 0:
            raise ValueError("item_id and dispatch must not be negative")
        if len(self.name) > MAX_NAME_CHARS:
            raise ValueError(
                f"{self.name}: more than {MAX_NAME_CHARS} characters"
            )

    @property
    def name(self) -> str:
        """The attempt's name, for instance ``matrix-profile-42-d3``."""
        return f"{self.kind}-{self.item_id}-d{self.dispatch}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the attempt of a name; ``None`` if it isn't one's name."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        try:
            attempt = cls(
                found["kind"], int(found["item"]), int(found["dispatch"])
            )
        except ValueError:
            return None
        return attempt if attempt.name == name else None


@dataclass(frozen=True)
class Limits:
    """What an attempt may use at most; ``None`` is no limit.

    Attributes:
        memory_bytes: Memory of all its processes together.
        cpus: Processors.
    """

    memory_bytes: int | None = None
    cpus: int | None = None

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "cpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")


@dataclass(frozen=True)
class AnalysisSpec:
    """What to run.

    Attributes:
        attempt: Which attempt this is.
        command: Program and arguments. No secret belongs here.
        timeout: How long it may take; then it is ended.
        image: The container image, for launchers that run one.
        env: Environment variables that anybody may read.
        secrets: Environment variables that nobody else may: they never
            reach a command line, a name, a log or a readable file.
        limits: What it may use.
        stop_grace: How long it may take to end by itself when told to.
        labels: What leads a person back to run, item and platform job.

    Raises:
        ValueError: A value that no launcher could use.
    """

    attempt: AttemptId
    command: tuple[str, ...]
    timeout: timedelta
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    stop_grace: timedelta = DEFAULT_STOP_GRACE
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("env", "secrets", "labels"):
            copy = MappingProxyType(dict(getattr(self, name)))
            object.__setattr__(self, name, copy)
        if self.timeout <= timedelta():
            raise ValueError("timeout must be above 0")
        if self.stop_grace < timedelta():
            raise ValueError("stop_grace must not be negative")
        self._check_texts()

    def _check_texts(self) -> None:
        both = self.env.keys() & self.secrets.keys()
        if both:
            raise ValueError(f"both plain and secret: {sorted(both)}")
        names = (*self.env, *self.secrets)
        wrong = [name for name in names if not _VARIABLE.fullmatch(name)]
        if wrong:
            raise ValueError(f"not names of variables: {wrong}")
        secrets = [each.get_secret_value() for each in self.secrets.values()]
        if any("\0" in t for t in (*self.command, *self.env.values())):
            raise ValueError("command and env must not hold NUL characters")
        if any("\0" in secret for secret in secrets):
            raise ValueError("secrets must not hold NUL characters")


@dataclass(frozen=True)
class Absent:
    """Nothing of it runs, nor is it known that anything ever did."""


@dataclass(frozen=True)
class Pending:
    """It was accepted, and has not begun."""

    reason: str = ""


@dataclass(frozen=True)
class Running:
    """It runs, or something of it still does.

    Attributes:
        since: When it began (UTC).
    """

    since: datetime


@dataclass(frozen=True)
class Finished:
    """It ended, and nothing of it runs any more."""

    outcome: Outcome


Status = Absent | Pending | Running | Finished


class Launcher(Protocol):
    """Where analyses run.

    Every method may be called again after a crash, by another process, and
    by several at once. All but ``launch`` accept attempts that nobody knows.
    Each raises ``UnreachableError`` when it can't reach where they run, and
    ``RefusedError`` when it is let do nothing there.
    """

    def prepare(self, spec: AnalysisSpec) -> None:
        """Make the attempt known; start nothing.

        From here on no earlier attempt at the same item starts any more.
        """
        ...

    def launch(self, spec: AnalysisSpec) -> Status:
        """Start the attempt, or adopt it if it runs or has finished.

        However often and by however many this is called, the command is
        started at most once.

        Raises:
            AttemptRunningError: An earlier attempt at the item still runs.
            SupersededError: A later attempt at the item is known.
            NoRoomError: No further attempt is accepted now.
            PermanentError: This launcher can't run such a spec.
        """
        ...

    def status(self, attempt: AttemptId) -> Status:
        """Return how it stands; ``Finished`` once all of it is gone."""
        ...

    def wait(self, attempt: AttemptId, timeout: timedelta) -> Status:
        """Return the status as soon as nothing is left to wait for.

        That is when it is finished or absent, or ``timeout`` has passed.
        Waits in the calling thread, so that an interrupt arrives there.
        """
        ...

    def logs(self, attempt: AttemptId, max_bytes: int) -> bytes:
        """Return what it wrote: head and tail where that's too long."""
        ...

    def stop(self, attempt: AttemptId) -> None:
        """End all its processes, and return when they are seen gone.

        They are told to end, and killed when the grace has passed. An
        outcome that it already had stays.
        """
        ...

    def clean_up(self, attempt: AttemptId) -> None:
        """Remove its traces, once its log and outcome are stored.

        Raises:
            AttemptRunningError: It still runs.
        """
        ...

    def attempts(self, kind: str, item_id: int) -> list[AttemptId]:
        """Return the attempts at one item that left traces, in order."""
        ...

    def all_attempts(self) -> list[AttemptId]:
        """Return all attempts that left traces, in order; for sweeps."""
        ...


def stop_earlier(launcher: Launcher, attempt: AttemptId) -> list[AttemptId]:
    """See every earlier attempt at the same item gone (rule 5).

    Prepare ``attempt`` first: then none of the earlier ones can start
    between this look and the launch.

    Returns:
        The earlier attempts: stopped, with their traces still there.
    """
    known = launcher.attempts(attempt.kind, attempt.item_id)
    earlier = [each for each in known if each.dispatch < attempt.dispatch]
    for each in earlier:
        launcher.stop(each)
    return earlier


def wait_until_finished(
    launcher: Launcher,
    attempt: AttemptId,
    *,
    interval: timedelta,
    beat: Callable[[], None],
) -> Outcome:
    """Wait for a launched attempt's outcome, with a sign of life.

    Args:
        launcher: Where it runs.
        attempt: What to wait for.
        interval: The time between two beats.
        beat: Called once an interval; what it raises ends the waiting, and
            so does an interrupt. The attempt is left running: whether to
            stop it is the caller's decision.

    Returns:
        The outcome; ``Reason.LOST`` if all traces of it are gone.
    """
    while True:
        status = launcher.wait(attempt, interval)
        if isinstance(status, Finished):
            return status.outcome
        if isinstance(status, Absent):
            return Outcome(Reason.LOST, detail="no trace of it was left")
        beat()
