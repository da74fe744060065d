"""One step of one source, from looking at it to remembering it.

What is to be done is seen anew each time: the difference of what there is
and what is remembered. So whoever runs a step again, after a failure, a kill
or for no reason at all, does exactly what is not done.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from moderate.clients.open_metadata import OpenMetadata
from moderate.errors import PermanentError, SettingsError
from moderate.flows.metadata_ingestion.catalogue import (
    Catalogue,
    DatabaseGoneError,
)
from moderate.flows.metadata_ingestion.plan import (
    WHOLE,
    Order,
    Seen,
    digest,
    order,
)
from moderate.flows.metadata_ingestion.prefixes import Prefixes
from moderate.flows.metadata_ingestion.task import (
    LakePlace,
    Limits,
    Logs,
    Outcome,
    PostgresPlace,
    Server,
    Task,
)
from moderate.flows.metadata_ingestion.workshop import Workshop
from moderate.inbox.metadata_sources import (
    Comments,
    Flow,
    Memory,
    MetadataSources,
    Part,
    Source,
    Step,
)
from moderate.settings import (
    MetadataSettings,
    OpenMetadataSettings,
    ServiceSettings,
)

PACKAGE = "openmetadata-ingestion"
FEW = 2_000
"""Changed parts of a database of which a run is narrowed to them; the filter
is one expression, which is tried on each table."""

ELSEWHERE = (
    "was found at another server or in another bucket than the settings name"
    " now; if it has moved here for good, launch the job once with"
    " `moved: true`"
)

NOTHING: Memory = {step: {} for step in Step}


@dataclass(frozen=True)
class Report:
    """What became of a step.

    Attributes:
        step: Which step.
        source: Of what.
        found: Parts that there are.
        unchanged: Those that needed nothing.
        written: How many were brought over.
        removed: How many were gone.
        failed: What failed, with the reason.
        error: Why the step as a whole failed.
        requests: Requests that may have changed something on the server.
        notes: What a person should know.
        began: Seconds since the epoch.
        seconds: From its begin to its end, without waiting for its turn.
        cpu_seconds: Of the framework.
        peak_bytes: The framework's memory.
        allowed: Failures that are still a success.
    """

    step: Step
    source: Source
    found: int = 0
    unchanged: int = 0
    written: int = 0
    removed: int = 0
    failed: Sequence[tuple[str, str]] = ()
    error: str | None = None
    requests: int = 0
    notes: Sequence[str] = ()
    began: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    allowed: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the step may be called done."""
        return self.error is None and len(self.failed) <= self.allowed

    @property
    def leads_on(self) -> bool:
        """Whether the next step has something to go by.

        Also where parts failed: one that is broken for good must not keep
        all others from it.
        """
        return self.error is None


@dataclass(frozen=True)
class Eye:
    """Looks at the sources of one flow.

    Attributes:
        at: The catalogue, or the prefixes.
        place: Where that is.
    """

    at: Catalogue | Prefixes
    place: PostgresPlace | LakePlace

    def look(self, source: Source) -> Seen | None:
        """Return what there is of a source; ``None``: it is gone."""
        try:
            seen = self.at.look(source.name)
        except DatabaseGoneError:
            return None
        return seen if seen.exists else None

    def identity(self) -> Sequence[str]:
        """Return what names the place, without its secrets.

        What is not there is gone, but only if it is the place where it was.
        """
        place = self.place
        if isinstance(place, PostgresPlace):
            return (place.host, str(place.port))
        return (place.endpoint_url, place.bucket)

    @property
    def where(self) -> str:
        """A hash of the place."""
        return digest(*self.identity())

    def sees(self, source: Source) -> bool:
        """Say whether a source is, or was, where this eye looks."""
        return source.place in ("", self.where)


@dataclass(frozen=True)
class Ingestion:
    """Everything that steps of one flow need.

    Attributes:
        flow: Which flow.
        eye: Looks at its sources.
        memory: What is done.
        server: OpenMetadata, asked without the framework.
        address: How it is reached.
        settings: Of the ingestion.
        service: How we log.
    """

    flow: Flow
    eye: Eye
    memory: MetadataSources
    server: OpenMetadata
    address: OpenMetadataSettings
    settings: MetadataSettings
    service: ServiceSettings

    def order(
        self,
        step: Step,
        seen: Seen | None,
        memory: Memory,
        service_id: str | None,
    ) -> Order:
        """Return what a step of a source has to do.

        Args:
            step: Which step.
            seen: What there is; ``None``: the source is gone.
            memory: What is done of it.
            service_id: Of its service on the server.
        """
        made_of = self._made_of(step, service_id)
        max_age = self.settings.profile_max_age.total_seconds()
        todo = order(step, seen, memory, made_of, max_age)
        if (
            step is Step.METADATA
            and isinstance(self.eye.place, PostgresPlace)
            and todo.unchanged
            and len(todo.changed) > FEW
        ):
            # Then all of it: a run that is not narrowed sees everything.
            everything = order(step, seen, NOTHING, made_of, max_age)
            return replace(everything, gone=todo.gone)
        return todo

    def perform(
        self, source: Source, step: Step, workshop: Workshop
    ) -> Report:
        """Do what a step of a source has to do, and remember what was done.

        Raises:
            ModerateError: It could not be begun, or not be remembered.
        """
        if not self.eye.sees(source):
            msg = f"{source.name!r} {ELSEWHERE}"
            raise PermanentError(msg)
        began, clock = time.time(), time.monotonic()
        with self.memory.alone(source):
            seen = self.eye.look(source)
            service_id = self.server.service_id(source.service)
            memory = self.memory.memory(source)
            todo = self.order(step, seen, memory, service_id)
            outcome = Outcome()
            if not todo.is_empty:
                task = self._task(source, step, todo, seen)
                if step is Step.METADATA:
                    self.memory.announce(source, todo.changed)
                keep = partial(self._keep, source, step, todo, seen)
                outcome = workshop.carry_out(task, keep)
                self._remember(source, step, todo, seen, outcome)
            elif seen is None and step is Step.METADATA:
                # Nothing of it was ever brought over.
                self.memory.forget(source)
        return Report(
            step=step,
            source=source,
            found=len(todo.changed) + todo.unchanged,
            unchanged=todo.unchanged,
            written=len(outcome.written),
            removed=len(outcome.removed),
            failed=outcome.failed,
            error=outcome.error,
            requests=outcome.requests,
            notes=(*_notes(step, seen), *outcome.notes),
            began=began,
            seconds=time.monotonic() - clock,
            cpu_seconds=outcome.cpu_seconds,
            peak_bytes=outcome.peak_bytes,
            allowed=self.settings.max_failures,
        )

    def _keep(
        self,
        source: Source,
        step: Step,
        todo: Order,
        seen: Seen | None,
        parts: Sequence[Part],
    ) -> None:
        """Remember parts of a task that is still at work."""
        done = self._fingerprints(source, step, todo, seen, parts)
        self.memory.done(source, step, done, {})

    def _remember(
        self,
        source: Source,
        step: Step,
        todo: Order,
        seen: Seen | None,
        outcome: Outcome,
    ) -> None:
        if outcome.removed:
            self.memory.gone(source, outcome.removed)
        if seen is None and not outcome.error:
            self.memory.forget(source)
            return
        if outcome.error or not outcome.written:
            # Something failed of which nobody knows what: all of it again,
            # except for what was certain before.
            return
        parts = outcome.written
        done = self._fingerprints(source, step, todo, seen, parts)
        self.memory.done(source, step, done, outcome.comments)

    def _fingerprints(
        self,
        source: Source,
        step: Step,
        todo: Order,
        seen: Seen | None,
        parts: Sequence[Part],
    ) -> Mapping[Part, str]:
        """Return those of parts as the next look makes them."""
        if seen is None or step is Step.PROFILE:
            return {part: todo.changed[part] for part in parts}
        # The service may be there only since this step: its id counts.
        made_of = self._made_of(step, self.server.service_id(source.service))
        these = Seen({part: seen.parts[part] for part in parts}, {})
        return order(step, these, NOTHING, made_of, float("inf")).changed

    def _task(
        self, source: Source, step: Step, todo: Order, seen: Seen | None
    ) -> Task:
        settings = self.settings
        return Task(
            step=step,
            source=source,
            server=Server(self.address.url, self.address.token),
            place=self.eye.place,
            limits=Limits(
                settings.memory_limit,
                settings.step_timeout.total_seconds(),
                settings.sample_rows,
            ),
            logs=Logs(self.service.log_format, self.service.log_level),
            changed=tuple(sorted(todo.changed)),
            comments=self._comments(source, step, todo),
            whole=todo.unchanged == 0,
            others=_others(todo, seen),
            gone=tuple(todo.gone),
            vanished=seen is None,
            sample_data=settings.sample_data,
            store_connection=settings.store_connections,
        )

    def _comments(self, source: Source, step: Step, todo: Order) -> Comments:
        if step is not Step.METADATA:
            return {}
        known = self.memory.comments(source)
        return {part: known[part] for part in todo.changed if part in known}

    def _made_of(self, step: Step, service_id: str | None) -> str:
        """Return a hash of what everything that is brought over depends on.

        The service's id is another one on another server, and on one that
        was wiped.
        """
        settings = self.settings
        facts: list[object] = [
            framework_version(),
            self.address.url,
            service_id,
            self.eye.identity(),
            settings.store_connections,
        ]
        if step is Step.PROFILE:
            facts += [settings.sample_rows, settings.sample_data]
        return digest(facts)


def framework_version() -> str:
    """Return the framework's version, without importing it.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        msg = "the ingestion needs: pip install 'moderate[openmetadata]'"
        raise SettingsError(msg) from None


def _others(todo: Order, seen: Seen | None) -> Sequence[Part] | None:
    """Return what else there is of a source that was never done as a whole.

    What OpenMetadata had of it before anything was remembered is taken away
    then, also if a step that was ended has done a part of it.
    """
    if seen is None or WHOLE not in todo.changed:
        return None
    return tuple(part for part in seen.parts if part not in todo.changed)


def _notes(step: Step, seen: Seen | None) -> Sequence[str]:
    if seen is None:
        return ("it is gone, and so is what OpenMetadata had of it",)
    return seen.notes if step is Step.PROFILE else seen.left_out
