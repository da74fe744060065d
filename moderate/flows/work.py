"""The run's side of the inbox: bind first, give signs of life, stop when told.

An op that works on a batch binds it before anything else. While it waits, in
the main thread where an interrupt arrives, it calls its ``Heart``: that keeps
the lease, and notices when a person has cancelled the run.
"""

import logging
import time
from datetime import timedelta

from dagster import Config, DagsterInstance, OpExecutionContext
from pydantic import Field
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from moderate.flows.ticks import CANCELLED_BY_PERSON
from moderate.inbox.database import InboxUnavailableError
from moderate.inbox.lease import Lease
from moderate.inbox.store import Inbox

OUTCOME_PATIENCE = timedelta(seconds=45)
"""How long an outcome is held while the inbox can't be reached."""


_log = logging.getLogger(__name__)
# Not the run's own log where Dagster's storage may be what is down: it would
# raise too.


class BatchConfig(Config):
    """Which batch a run works on."""

    batch_id: int = Field(description="the inbox's number of the batch")


class RunCancelledError(Exception):
    """A person cancelled the run."""


keep_trying = retry(
    retry=retry_if_exception_type(InboxUnavailableError),
    stop=stop_after_delay(OUTCOME_PATIENCE),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
"""Store an outcome through a restart of Postgres.

Not a second retry authority: the work itself is not tried again, and if
this gives up the item is freed by its missed heartbeat.
"""


def bind(
    context: OpExecutionContext, inbox: Inbox, batch: int, kind: str
) -> Lease | None:
    """Bind the batch to this run; ``None``: end without effects.

    A batch of another kind is given back: a person may type any number into
    the launchpad.
    """
    lease = keep_trying(inbox.bind)(batch, context.run_id)
    if lease is None:
        context.log.warning(
            "batch %s belongs to another run or is over: nothing to do", batch
        )
    elif lease.kind.name != kind:
        lease.release()
        context.log.warning(
            "batch %s is of kind %s: nothing to do", batch, lease.kind.name
        )
        return None
    return lease


def is_cancelled(instance: DagsterInstance, run_id: str) -> bool:
    """Say whether a person cancelled the run.

    An interrupt without that is an eviction: nobody asked for the end.
    """
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in CANCELLED_BY_PERSON


class Heart:
    """Beats for a lease, not more often than once an interval."""

    def __init__(
        self, lease: Lease, context: OpExecutionContext, interval: timedelta
    ) -> None:
        self._lease = lease
        self._context = context
        self._interval = interval.total_seconds()
        self._next = time.monotonic() + self._interval

    def beat(self) -> None:
        """Beat if it is time to.

        Raises:
            LeaseLostError: The batch was taken from this run.
            RunCancelledError: A person cancelled the run.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._interval
        try:
            self._lease.beat()
        except InboxUnavailableError as error:
            # The lease holds until the time-out; a restart is shorter.
            _log.warning("no heartbeat: %s", error)
            return
        if self._is_cancelled():
            raise RunCancelledError

    def _is_cancelled(self) -> bool:
        """Ask Dagster; that it can't say is no reason to end the work."""
        try:
            return is_cancelled(self._context.instance, self._lease.run_id)
        except Exception as error:  # noqa: BLE001  # its storage's own errors
            _log.warning("the run's status is not known: %s", error)
            return False
