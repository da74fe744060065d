"""Connections to the inbox's database: one pool per process, all bounded."""

import atexit
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from math import ceil
from threading import Lock
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from moderate.errors import TemporaryError
from moderate.inbox.queries import statement

CONNECT_TIMEOUT = timedelta(seconds=5)
"""How long a new connection may take."""

POOL_WAIT = timedelta(seconds=10)
"""How long a caller waits for a free connection."""

STATEMENT_TIMEOUT = timedelta(seconds=15)
"""How long one statement may take, waiting for locks included."""

LOCK_TIMEOUT = timedelta(seconds=5)
"""How long one statement may wait for a lock."""

IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=30)
"""After which the server ends a transaction that a hung process left open."""

UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    # A standby after a failover, until the address points at the new server.
    psycopg.errors.ReadOnlySqlTransaction,
)
"""Errors of the database's, not of ours: they pass."""

Row = DictRow
Conn = Connection[Row]


class InboxUnavailableError(TemporaryError):
    """The inbox's database can't be reached, or did not answer in time."""


@dataclass(frozen=True)
class Address:
    """Where the inbox is; hashable, so that a process keeps one pool for it.

    The password is not shown by ``repr``.
    """

    conninfo: str
    pool_size: int = 4

    def __repr__(self) -> str:
        return "Address(conninfo=<hidden>)"


def address(
    *,
    host: str,
    port: int,
    user: str,
    password: str,
    dbname: str,
    sslmode: str = "prefer",
    pool_size: int = 4,
) -> Address:
    """Build the address of an inbox."""
    return Address(
        make_conninfo(
            host=host,
            port=port,
            user=user,
            password=password,
            dbname=dbname,
            sslmode=sslmode,
        ),
        pool_size,
    )


def _milliseconds(span: timedelta) -> int:
    return int(span / timedelta(milliseconds=1))


def bounded(conninfo: str) -> str:
    """Add this module's time-outs to ``conninfo``."""
    options = (
        f"-c statement_timeout={_milliseconds(STATEMENT_TIMEOUT)}"
        f" -c lock_timeout={_milliseconds(LOCK_TIMEOUT)}"
        " -c idle_in_transaction_session_timeout="
        f"{_milliseconds(IDLE_IN_TRANSACTION_TIMEOUT)}"
        # What the server's own settings say must not matter here: a guard
        # has to see what was committed before it, and times are UTC.
        r" -c default_transaction_isolation=read\ committed -c TimeZone=UTC"
    )
    return make_conninfo(
        conninfo,
        connect_timeout=int(CONNECT_TIMEOUT.total_seconds()),
        options=options,
        application_name="moderate",
        # A server that vanished without a word is noticed within seconds.
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )


def pool_of(where: Address) -> ConnectionPool[Conn]:
    """Return this process's pool for ``where``; opened at first use."""
    with _opening:
        return _open_pool(where)


_opening = Lock()
"""Threads that come first together share one pool."""


@cache
def _open_pool(where: Address) -> ConnectionPool[Conn]:
    pool: ConnectionPool[Conn] = ConnectionPool(
        bounded(where.conninfo),
        min_size=0,
        max_size=where.pool_size,
        max_idle=60,
        timeout=POOL_WAIT.total_seconds(),
        # No longer than a caller waits: while one attempt goes on with ever
        # longer pauses, the pool begins no other.
        reconnect_timeout=POOL_WAIT.total_seconds(),
        kwargs={"row_factory": dict_row},
        open=True,
        name="inbox",
    )
    atexit.register(pool.close)
    return pool


@contextmanager
def transaction(where: Address) -> Iterator[Conn]:
    """Open a transaction: committed at the end, rolled back on an error.

    Raises:
        InboxUnavailableError: The database can't be reached or is too slow.
    """
    try:
        with _connection(pool_of(where)) as conn:
            yield conn
    except PoolTimeout as error:
        msg = f"the inbox's database gives no connection: {_why_none(where)}"
        raise InboxUnavailableError(msg) from error
    except UNAVAILABLE as error:
        msg = f"the inbox's database failed: {first_line(error)}"
        raise InboxUnavailableError(msg) from error


@contextmanager
def _connection(pool: ConnectionPool[Conn]) -> Iterator[Conn]:
    """Take a connection that works.

    The first one that a restarted server has cut has all of them replaced;
    the pool's own check would pause for a second or more at each.
    """
    with ExitStack() as stack:
        conn = stack.enter_context(pool.connection())
        if _is_cut(conn):
            stack.close()
            pool.check()
            conn = stack.enter_context(pool.connection())
        yield conn


def _is_cut(conn: Conn) -> bool:
    try:
        ConnectionPool.check_connection(conn)
    except psycopg.OperationalError:
        return True
    return False


@contextmanager
def single_connection(where: Address, *, within: timedelta) -> Iterator[Conn]:
    """Open a connection of its own, for who only looks now and then.

    Past the pool, which waits long for a server that is away.

    Args:
        where: The database.
        within: How long connecting may take.

    Raises:
        InboxUnavailableError: The database can't be reached or is too slow.
    """
    conninfo = make_conninfo(
        bounded(where.conninfo),
        connect_timeout=ceil(within.total_seconds()),
    )
    try:
        with psycopg.connect(conninfo, row_factory=dict_row) as conn:
            yield conn
    except UNAVAILABLE as error:
        msg = f"the inbox's database failed: {first_line(error)}"
        raise InboxUnavailableError(msg) from error


@contextmanager
def connection_for_locks(where: Address) -> Iterator[Conn]:
    """Open a connection of its own, for locks that a session holds.

    They end with it, and so with this process, however that ends. What goes
    wrong meanwhile is not about the database, and is passed on as it is.

    Raises:
        InboxUnavailableError: The database can't be reached.
    """
    try:
        conn = psycopg.connect(
            bounded(where.conninfo), autocommit=True, row_factory=dict_row
        )
    except UNAVAILABLE as error:
        msg = f"the inbox's database failed: {first_line(error)}"
        raise InboxUnavailableError(msg) from error
    with conn:
        yield conn


def _why_none(where: Address) -> str:
    """Ask for a connection past the pool, which doesn't say what is wrong."""
    try:
        psycopg.connect(bounded(where.conninfo)).close()
    except psycopg.OperationalError as error:
        return first_line(error)
    return f"all {where.pool_size} of this process are in use"


def first_line(error: Exception) -> str:
    """Return what an error of Postgres says, without its hints."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def fetch(conn: Conn, name: str, /, **parameters: Any) -> Sequence[Row]:
    """Run the named statement and return its rows."""
    return conn.execute(statement(name), parameters).fetchall()


def fetch_one(conn: Conn, name: str, /, **parameters: Any) -> Row | None:
    """Run the named statement and return its first row, if any."""
    return conn.execute(statement(name), parameters).fetchone()


def run(conn: Conn, name: str, /, **parameters: Any) -> int:
    """Run the named statement and return how many rows it touched."""
    return conn.execute(statement(name), parameters).rowcount


def server_version(conn: Conn) -> str:
    """Return the version of the database's server."""
    return str(conn.info.parameter_status("server_version") or "")


def server_now(conn: Conn) -> datetime:
    """Return the inbox's clock (aware, UTC); the only one that counts."""
    row = conn.execute("SELECT clock_timestamp() AS now").fetchone()
    if row is None:
        msg = "the inbox's database did not tell the time"
        raise InboxUnavailableError(msg)
    now: datetime = row["now"]
    return now
