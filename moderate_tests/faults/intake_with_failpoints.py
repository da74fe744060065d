"""The service's own intake, with failpoints that tests can arm.

Run as ``python -m moderate_tests.faults.intake_with_failpoints PORT
ALIVE_FILE``, with the environment of the stack's own.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from moderate.clients.rabbitmq import Channel
from moderate.fastpath.commands import take_in
from moderate.fastpath.submitting import Submitter, code_server
from moderate.inbox.model import NewItem
from moderate.inbox.store import Inbox
from moderate_tests.faults import failpoints
from moderate_tests.faults.failpoints import reach_after, reach_before

MESSAGES = "matrix_profile"
PENDING = "SELECT 1 FROM work_item WHERE kind = %s AND state = 'pending'"


def brings_messages(
    _inbox: Inbox, _conn: object, items: Iterable[NewItem]
) -> bool:
    """Say whether rows of messages are written."""
    return any(item.kind == MESSAGES for item in items)


def has_messages(inbox: Inbox, _kinds: object) -> bool:
    """Say whether there is a message to dispatch."""
    with inbox.transaction() as conn:
        return bool(conn.execute(PENDING, [MESSAGES]).fetchall())


def main(port: int, alive_file: Path) -> None:
    """Work until told to end, or killed."""
    reach_after(
        Inbox, "record", failpoints.BEFORE_COMMIT, when=brings_messages
    )
    reach_before(Channel, "ack", failpoints.BEFORE_ACK)
    reach_before(
        Inbox, "dispatch", failpoints.BEFORE_DISPATCH, when=has_messages
    )
    reach_before(Submitter, "submit", failpoints.BEFORE_REQUEST)
    take_in(code_server("127.0.0.1", port), alive_file)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
