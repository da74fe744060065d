"""The steps of one run, several at a time.

Dagster's own processes begin a second or more apart and import everything
anew; here the ops of a run share a process, and the work goes on beside
them: as soon as it is known what changed, all of it is begun, so many at a
time, and each op waits for its own step and tells of it. An op whose step
nobody began (in a pod of its own, or run again) begins it.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Lock

from moderate.flows.metadata_ingestion.ingestion import Ingestion, Report
from moderate.flows.metadata_ingestion.workshop import Workshop
from moderate.inbox.metadata_sources import Source, Step

LOOK_SECONDS = 0.2
"""Between two looks at a step; an interrupt is noticed then."""


class Session:
    """The steps of a run in this process.

    Args:
        ingestion: What steps need.
    """

    def __init__(self, ingestion: Ingestion) -> None:
        self.ingestion = ingestion
        self._workshop = Workshop(ingestion.settings.workers)
        self._steps: dict[tuple[str, Step], Future[Report]] = {}
        self._lock = Lock()

    def begin(self, sources: Iterable[Source]) -> None:
        """Begin the first step of sources, and the second after it."""
        for source in sources:
            self._begun(source, Step.METADATA, self._then_profile)

    def report(self, source: Source, step: Step) -> Report:
        """Wait for a step of a source, which is begun if it was not.

        Raises:
            ModerateError: It could not be begun, or not be remembered.
        """
        future = self._begun(source, step)
        try:
            while True:
                try:
                    return future.result(LOOK_SECONDS)
                except NotYet:
                    if future.done():  # The step itself raised one.
                        raise
        except BaseException:
            if not future.done():  # The run was interrupted.
                self._workshop.stop()
            raise

    def _begun(
        self,
        source: Source,
        step: Step,
        then: Callable[[Report], None] | None = None,
    ) -> Future[Report]:
        def work() -> Report:
            report = self.ingestion.perform(source, step, self._workshop)
            if then:
                then(report)
            return report

        with self._lock:
            key = (source.key, step)
            if key not in self._steps:
                self._steps[key] = self._workshop.submit(work)
            return self._steps[key]

    def _then_profile(self, report: Report) -> None:
        if report.leads_on:
            self._begun(report.source, Step.PROFILE)
