"""Postgres fails now and then: calls say so in time, and then work again."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from moderate.errors import TemporaryError
from moderate.inbox import database
from moderate.inbox.database import (
    Address,
    Conn,
    InboxUnavailableError,
    address,
    pool_of,
    server_now,
    transaction,
)
from moderate.inbox.migrate import migrate
from moderate.inbox.model import NewItem, State
from moderate.inbox.store import Inbox
from moderate.local.ports import free_port
from moderate.local.services.postgres import Postgres
from moderate_tests.integration.inbox.world import (
    JOB,
    KINDS,
    RACERS,
    change,
    lease_of,
    lock_on,
    look,
    race,
    record,
    wait_until,
    words,
)

SHORT = timedelta(seconds=1)
CONNECTIONS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of our own, to be killed."""
    folder = tmp_path_factory.mktemp("fragile")
    with Postgres(
        folder, port=free_port(), password="secret", durable=False
    ) as server:
        yield server


@pytest.fixture
def fragile(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inbox]:
    """An inbox on that server, whose callers are impatient."""
    monkeypatch.setattr(database, "POOL_WAIT", SHORT)
    name = f"fragile_{uuid4().hex}"
    where = Address(server.url(name), CONNECTIONS)
    migrate(where)
    yield Inbox(where, KINDS)
    pool_of(where).close()


@pytest.fixture
def impatient(
    own_address: Address, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inbox]:
    """An inbox that waits for nothing longer than a moment."""
    moment = timedelta(seconds=1)
    for name in ("LOCK_TIMEOUT", "IDLE_IN_TRANSACTION_TIMEOUT"):
        monkeypatch.setattr(database, name, moment)
    monkeypatch.setattr(database, "POOL_WAIT", moment)
    where = Address(own_address.conninfo, CONNECTIONS)
    yield Inbox(where, KINDS)
    pool_of(where).close()


def fill_pool(inbox: Inbox) -> None:
    """Open all connections that the pool may hold."""
    line = threading.Barrier(CONNECTIONS)

    def hold() -> None:
        with inbox.transaction() as conn:
            conn.execute("SELECT 1")
            line.wait(timeout=60)

    race(*[hold] * CONNECTIONS)


def backends(inbox: Inbox) -> int:
    rows = change(
        inbox.where,
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'",
    )
    return int(rows[0]["n"])


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "killed"])
def test_every_call_after_a_restart_works_and_nothing_is_lost(
    fragile: Inbox, server: Postgres, *, crash: bool
) -> None:
    """Connections that were cut are replaced, not handed out."""
    record(fragile, "1")
    fill_pool(fragile)
    if crash:
        server.kill()
        server.start()
    else:
        server.restart()
    for number in range(2 * CONNECTIONS):
        record(fragile, f"after {number}")
    assert look(fragile, "1").state == State.PENDING
    assert backends(fragile) <= CONNECTIONS


def test_while_postgres_is_down_calls_say_so_and_then_work_again(
    fragile: Inbox, server: Postgres
) -> None:
    lease = lease_of(fragile, "1")
    server.stop()
    try:
        for call in (
            partial(record, fragile, "2"),
            partial(fragile.dispatch, [JOB]),
            lease.beat,
            partial(lease.done, lease.items[0], {}),
        ):
            assert_unavailable(call, "gives no connection: connection failed")
    finally:
        server.start()
    lease.beat()
    lease.done(lease.items[0], {})
    record(fragile, "2")
    assert len(words(fragile)) == 1


def test_threads_that_wait_for_a_dead_server_all_go_on_when_it_is_back(
    fragile: Inbox, server: Postgres
) -> None:
    """None of the code server's threads is used up."""
    fill_pool(fragile)
    server.kill()
    try:
        race(
            *[
                partial(
                    assert_unavailable, partial(record, fragile, "1"), "no con"
                )
            ]
            * 2
            * CONNECTIONS
        )
    finally:
        server.start()
    news = race(*[partial(record, fragile, "1")] * 2 * CONNECTIONS)
    assert sum(map(len, news)) == 1


def test_a_transaction_that_is_cut_leaves_nothing_behind(
    fragile: Inbox, server: Postgres
) -> None:
    """Nothing is lost: the source is not acknowledged then."""

    def cut() -> None:
        with fragile.transaction() as conn:
            fragile.record(conn, [NewItem(JOB, "1")])
            server.kill()
            fragile.record(conn, [NewItem(JOB, "2")])

    try:
        assert_unavailable(cut, "the inbox's database failed")
    finally:
        server.start()
    assert record(fragile, "1", "2") == {(JOB, "1"), (JOB, "2")}


def test_a_commit_that_is_cut_is_reported(
    fragile: Inbox, server: Postgres
) -> None:
    """Whether it counts is unknown; twice is harmless."""

    def cut() -> None:
        with fragile.transaction() as conn:
            fragile.record(conn, [NewItem(JOB, "1")])
            server.kill()

    try:
        assert_unavailable(cut, "the inbox's database failed")
    finally:
        server.start()
    record(fragile, "1")
    assert look(fragile, "1").state == State.PENDING


def assert_unavailable(call: Callable[[], object], text: str) -> None:
    with pytest.raises(InboxUnavailableError, match=text) as caught:
        call()
    assert isinstance(caught.value, TemporaryError)


def test_a_lock_that_is_never_released_holds_nobody_for_long(
    impatient: Inbox,
) -> None:
    """Every call in a tick has its own time-out."""
    record(impatient, "1")
    with lock_on(impatient.where, "SELECT * FROM work_item FOR UPDATE"):
        with impatient.transaction() as conn:
            conn.execute("SELECT 1")
        assert impatient.dispatch([JOB]) == 0  # locked rows are skipped
    with lock_on(impatient.where, "LOCK TABLE work_item"):
        for call in (
            partial(record, impatient, "2"),
            partial(impatient.dispatch, [JOB]),
        ):
            assert_unavailable(call, "lock timeout")
    assert impatient.dispatch([JOB]) == 1


def test_ticks_that_wait_for_each_others_dispatch_give_up_in_time(
    impatient: Inbox,
) -> None:
    with lock_on(
        impatient.where,
        "SELECT pg_advisory_xact_lock("
        "hashtextextended('moderate.dispatch.job', 0))",
    ):
        assert_unavailable(partial(impatient.dispatch, [JOB]), "lock timeout")


def test_a_statement_that_takes_too_long_is_ended(
    own_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        database, "STATEMENT_TIMEOUT", timedelta(milliseconds=500)
    )
    where = Address(own_address.conninfo, CONNECTIONS)

    def sleep() -> None:
        with transaction(where) as conn:
            conn.execute("SELECT pg_sleep(60)")

    assert_unavailable(sleep, "statement timeout")
    pool_of(where).close()


def test_a_transaction_that_was_left_open_is_ended_by_the_server(
    impatient: Inbox,
) -> None:
    """A hung process must not hold its locks."""

    def hang() -> None:
        with impatient.transaction() as conn:
            impatient.record(conn, [NewItem(JOB, "1")])
            wait_until(lambda: sessions(impatient) == 0)
            conn.execute("SELECT 1")

    assert_unavailable(hang, "idle-in-transaction timeout")
    assert record(impatient, "1") == {(JOB, "1")}


def sessions(inbox: Inbox) -> int:
    rows = change(
        inbox.where,
        "SELECT count(*) AS n FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state = 'idle in transaction'",
    )
    return int(rows[0]["n"])


def test_a_standby_that_can_only_be_read_is_a_failure_that_passes(
    own_inbox: Inbox,
) -> None:
    """After a failover the address may point at the old server for long."""
    change(
        own_inbox.where,
        "ALTER ROLE CURRENT_USER IN DATABASE"
        f" {own_inbox.where.conninfo.rsplit('/', 1)[1]}"
        " SET default_transaction_read_only = on",
    )
    assert_unavailable(
        partial(record, own_inbox, "1"), "read-only transaction"
    )


def test_a_caller_that_gets_no_connection_is_told_that_all_are_in_use(
    impatient: Inbox,
) -> None:
    def use_all() -> None:
        with (
            impatient.transaction(),
            impatient.transaction(),
            impatient.transaction(),
        ):
            record(impatient, "1")

    assert_unavailable(use_all, "all 3 of this process are in use")
    assert record(impatient, "1") == {(JOB, "1")}


@pytest.mark.parametrize(
    ("change_of", "text"),
    [
        ({"password": "canary"}, "password authentication failed"),
        ({"dbname": "nowhere"}, '"nowhere" does not exist'),
        ({"port": 1}, "port 1 failed"),
    ],
    ids=["password", "database", "port"],
)
def test_why_there_is_no_connection_is_told_without_the_password(
    postgres_server: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    change_of: dict[str, object],
    text: str,
) -> None:
    """A person has to know what to mend, at 3 a.m."""
    monkeypatch.setattr(database, "POOL_WAIT", timedelta(milliseconds=500))
    parts = {
        "host": "127.0.0.1",
        "port": postgres_server.port,
        "user": "moderate",
        "password": postgres_server.client_environment()["POSTGRES_PASSWORD"],
        "dbname": "postgres",
    }
    where = address(**{**parts, **change_of})  # type: ignore[arg-type]

    def call() -> None:
        with transaction(where) as conn:
            conn.execute("SELECT 1")

    try:
        with pytest.raises(InboxUnavailableError, match=text) as caught:
            call()
        assert "canary" not in str(caught.value)
        assert "canary" not in repr(where)
    finally:
        pool_of(where).close()


def test_threads_that_come_first_together_share_one_pool(
    inbox_address: Address,
) -> None:
    """One pool per process, or its bound would not be one."""
    pools = race(*[partial(pool_of, inbox_address)] * RACERS)
    assert len(set(map(id, pools))) == 1


def test_a_pool_opens_no_more_connections_than_it_may(
    fragile: Inbox,
) -> None:
    race(*[partial(record, fragile, *map(str, range(100)))] * RACERS)
    assert backends(fragile) <= CONNECTIONS


def test_what_the_servers_settings_say_does_not_matter(
    own_inbox: Inbox,
) -> None:
    """Rule 12, and a guard has to see what was committed before it."""
    for setting in (
        "default_transaction_isolation = 'serializable'",
        "timezone = 'Asia/Kathmandu'",
        "statement_timeout = 0",
    ):
        change(
            own_inbox.where,
            "ALTER ROLE CURRENT_USER IN DATABASE"
            f" {own_inbox.where.conninfo.rsplit('/', 1)[1]}"
            f" SET {setting}",
        )

    def shown(conn: Conn, name: str) -> str:
        row = conn.execute(
            "SELECT current_setting(%s) AS value", [name]
        ).fetchone()
        assert row is not None
        return str(row["value"])

    with own_inbox.transaction() as conn:
        assert shown(conn, "transaction_isolation") == "read committed"
        assert shown(conn, "statement_timeout") == "15s"
        assert shown(conn, "lock_timeout") == "5s"
        assert shown(conn, "application_name") == "moderate"
        now = server_now(conn)
    assert now.utcoffset() == timedelta()
