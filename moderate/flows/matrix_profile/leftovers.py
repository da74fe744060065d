"""Analyses that nobody waits for any more are ended.

An item can end while its analysis works: its run was killed too often, a
person cancelled the run and the worker was killed before it could stop the
analysis, or an item whose run was evicted was dropped. And a worker that is
killed after it ended an item leaves the traces of the analysis behind.
"""

from collections.abc import Callable
from dataclasses import dataclass

from moderate.analyses.launcher import AttemptId, Launcher
from moderate.errors import TemporaryError
from moderate.flows.matrix_profile.analysis import ATTEMPT_KIND
from moderate.inbox import admin
from moderate.inbox.model import FINAL_STATES
from moderate.inbox.store import Inbox


@dataclass(frozen=True)
class Swept:
    """What a look at all attempts came to, as names of attempts."""

    ended: tuple[str, ...] = ()
    still_running: tuple[str, ...] = ()


def end_leftovers(
    launcher: Launcher,
    inbox: Inbox,
    *,
    all_are_ours: bool,
    in_time: Callable[[], bool],
) -> Swept:
    """End the attempts whose item is over, and remove their traces.

    Twice is harmless: an item that is over gets no further attempt.

    Args:
        launcher: Where attempts run.
        inbox: Whose items they are at.
        all_are_ours: Whether the launcher shows this inbox' attempts alone.
            Then those of unknown items are ended too: the inbox was made
            anew, or put back to an earlier state. In a folder that is shared
            they may be another service's, and are left alone.
        in_time: Whether there is time for one more.
    """
    ended: list[str] = []
    still_running: list[str] = []
    for attempt in launcher.all_attempts():
        if not in_time():
            break
        if not _is_over(inbox, attempt, unknown=all_are_ours):
            continue
        try:
            launcher.stop(attempt)
            launcher.clean_up(attempt)
        except TemporaryError:
            still_running.append(attempt.name)
        else:
            ended.append(attempt.name)
    return Swept(tuple(ended), tuple(still_running))


def _is_over(inbox: Inbox, attempt: AttemptId, *, unknown: bool) -> bool:
    if attempt.kind != ATTEMPT_KIND:
        return False
    with inbox.transaction() as conn:
        item = admin.get_item(conn, attempt.item_id)
    return item.state in FINAL_STATES if item else unknown
