"""Analyses that nobody waits for any more are ended.

An item can end while its analysis works: its run was killed too often, a
person cancelled the run and the worker was killed before it could stop the
analysis, or an item whose run was evicted was dropped. And a worker that is
killed after it ended an item leaves the traces of the analysis behind, as
does one that could not store an analysis' log.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from moderate.analyses.launcher import AttemptId
from moderate.errors import ModerateError
from moderate.flows.matrix_profile.analysis import ATTEMPT_KIND, Analysis
from moderate.inbox import admin
from moderate.inbox.model import FINAL_STATES, WorkItem
from moderate.inbox.store import Inbox

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """What a look at all attempts came to, as names of attempts."""

    ended: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def end_leftovers(
    analysis: Analysis,
    inbox: Inbox,
    *,
    all_are_ours: bool,
    in_time: Callable[[], bool],
) -> Swept:
    """End the attempts whose item is over, and remove their traces.

    Twice is harmless: an item that is over gets no further attempt.

    Args:
        analysis: What ends attempts, wherever they run.
        inbox: Whose items they are at.
        all_are_ours: Whether the launcher shows this inbox' attempts alone.
            Then those of unknown items are ended too: the inbox was made
            anew, or put back to an earlier state. In a folder that is shared
            they may be another service's, and are left alone.
        in_time: Whether there is time for one more.
    """
    ended: list[str] = []
    left: list[str] = []
    for attempt in analysis.launcher.all_attempts():
        if not in_time():
            break
        item = _item_of(inbox, attempt)
        is_over = item.state in FINAL_STATES if item else all_are_ours
        if attempt.kind != ATTEMPT_KIND or not is_over:
            continue
        try:
            analysis.end_attempt(attempt, item.key if item else None)
        except (ModerateError, OSError) as error:
            _LOG.warning("%s is left: %s", attempt.name, error)
            left.append(attempt.name)
        else:
            ended.append(attempt.name)
    return Swept(tuple(ended), tuple(left))


def _item_of(inbox: Inbox, attempt: AttemptId) -> WorkItem | None:
    with inbox.transaction() as conn:
        return admin.get_item(conn, attempt.item_id)
