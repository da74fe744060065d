"""What the reference implementation has done becomes known to us.

It kept one table of keys and values, in a database of its own: which users
have a DID (``user-trust-did:USERNAME``, the value says when), and from which
commit of its repository each file of a dataset was uploaded
(``git-dataset-commit:SLUG``, the value is the commit). Users become items
that are done; uploads are remembered for the dataset flow, which alone can
see what they say of a file today (``flows/datasets/before.py``).

Reading, deciding and writing are apart; what is decided is pure. Twice is
harmless: what is known stays as it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row
from slugify import slugify

from moderate.errors import PermanentError
from moderate.flows.datasets.sources import DATASETS, Dataset
from moderate.flows.platform_tasks.dids import USER_DID, UserDid, user_did_item
from moderate.inbox import reference_uploads
from moderate.inbox.database import Address, Conn, bounded, first_line
from moderate.inbox.model import NewItem, State
from moderate.inbox.reference_uploads import ReferenceUpload
from moderate.inbox.store import Inbox

DATABASE = "moderate_workflows_dagster_state"
TABLE = "moderate_workflows_key_values"
USERS = "user-trust-did"
UPLOADS = "git-dataset-commit"

LONGEST_SHOWN = 200
"""Characters of a key that are shown."""

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# As bytes: a row that is no text must not hide the others. A database without
# an encoding takes any, and would be asked to convert what is none.
_READ = f"""
SELECT id, convert_to(key::text, name) AS key,
       convert_to(value::text, name) AS value
  FROM {TABLE},
       (SELECT CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII'
               ELSE 'UTF8' END AS name) AS encoding
 ORDER BY id
"""  # noqa: S608  # a constant


class ReferenceStateError(PermanentError):
    """The reference's state can't be read; the text says why."""


@dataclass(frozen=True)
class Row:
    """A row of the reference's table, not understood yet."""

    id: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class LeftOut:
    """A row that is not taken over, and why.

    Attributes:
        row: Its id.
        key: Its key, as far as it can be shown.
        why: The reason, and what follows from it.
    """

    row: int
    key: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What the rows come to.

    Attributes:
        users: Items, done, of users who have a DID.
        uploads: What the reference has uploaded.
        left_out: All other rows.
    """

    users: tuple[NewItem, ...]
    uploads: tuple[ReferenceUpload, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Taken:
    """What a take-over has changed.

    Attributes:
        users: How many items were made.
        known_users: How many were done in the inbox already.
        open_users: Usernames whose item is there and not done, with its
            state; they are left as they are.
        uploads: How many uploads are remembered now.
        known_uploads: How many were.
    """

    users: int
    known_users: int
    open_users: Mapping[str, State]
    uploads: int
    known_uploads: int


def read_state(where: Address) -> Sequence[Row]:
    """Read the reference's table, in a transaction that can't write.

    Raises:
        ReferenceStateError: There is none, or it can't be read.
    """
    try:
        with psycopg.connect(bounded(where.conninfo)) as conn:
            conn.read_only = True
            with conn.cursor(row_factory=class_row(Row)) as cursor:
                return cursor.execute(_READ.encode()).fetchall()
    except psycopg.Error as error:
        database = conninfo_to_dict(where.conninfo)["dbname"]
        msg = (
            "the reference's state can't be read from database"
            f" {database}: {first_line(error)}"
        )
        raise ReferenceStateError(msg) from error


def plan(rows: Iterable[Row], datasets: Sequence[Dataset] = DATASETS) -> Plan:
    """Decide what becomes of each row."""
    users: dict[str, NewItem] = {}
    uploads: dict[tuple[str, str], ReferenceUpload] = {}
    left_out = []
    for row in rows:
        understood = _understood(row, datasets)
        if isinstance(understood, LeftOut):
            left_out.append(understood)
        elif isinstance(understood, NewItem):
            users[understood.key] = understood
        else:
            uploads[understood.dataset, understood.name] = understood
    return Plan(
        tuple(users.values()), tuple(uploads.values()), tuple(left_out)
    )


def take_over(conn: Conn, inbox: Inbox, plan: Plan) -> Taken:
    """Write a plan; the caller's transaction is the whole of it."""
    new = {key for _, key in inbox.record(conn, plan.users)}
    keys = [item.key for item in plan.users]
    states = inbox.states_of_keys(conn, USER_DID, keys)
    uploads = reference_uploads.remember(conn, plan.uploads)
    undone = {key: s for key, s in states.items() if s != State.DONE}
    return Taken(
        users=len(new),
        known_users=len(plan.users) - len(new) - len(undone),
        open_users=undone,
        uploads=len(uploads),
        known_uploads=len(plan.uploads) - len(uploads),
    )


def _understood(
    row: Row, datasets: Sequence[Dataset]
) -> NewItem | ReferenceUpload | LeftOut:
    key, value = _text(row.key), _text(row.value)
    if key is None:
        return _left_out(row, "the key is empty or no text")
    namespace, _, name = key.partition(":")
    if namespace not in {USERS, UPLOADS} or not name:
        return _left_out(row, "not a key of a user or of a dataset's file")
    if value is None:
        return _left_out(row, "the value is empty or no text")
    if namespace == USERS:
        return _user(row, name, value)
    return _upload(row, name, value, datasets)


def _user(row: Row, username: str, value: str) -> NewItem | LeftOut:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        why = "the value is not a time; the user is asked for again"
        return _left_out(row, why)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)  # as the reference wrote it
    user = UserDid(username=username, keycloak_id=None, created_at=None)
    outcome = {"taken_over_from": DATABASE, "registered_at": at.isoformat()}
    return replace(user_did_item(user), state=State.DONE, outcome=outcome)


def _upload(
    row: Row, name: str, commit: str, datasets: Sequence[Dataset]
) -> ReferenceUpload | LeftOut:
    if not _COMMIT.fullmatch(commit):
        why = "the value is not a commit; the file is uploaded again"
        return _left_out(row, why)
    for dataset in datasets:
        start = f"{slugify(dataset.platform_name)}-"
        rest = name.removeprefix(start)
        if rest != name and _NAME.fullmatch(rest):
            return ReferenceUpload(dataset.name, rest, commit)
    return _left_out(row, "no file of a dataset that we know")


def _text(value: bytes | None) -> str | None:
    """Return a text that says something."""
    try:
        return (value or b"").decode() or None
    except UnicodeDecodeError:
        return None


def _left_out(row: Row, why: str) -> LeftOut:
    shown = (row.key or b"").decode(errors="backslashreplace")
    return LeftOut(row.id, shown[:LONGEST_SHOWN], why)
