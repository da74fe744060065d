"""Checks an installation, and says what to do about what it finds."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from moderate.clients.rabbitmq import Rabbit, Timeouts
from moderate.connections import storage_client, vault_keys
from moderate.errors import ModerateError
from moderate.inbox.database import Conn, server_now
from moderate.inbox.migrate import MEND, schema_version
from moderate.inbox.model import Kind
from moderate.redaction import Redactor
from moderate.settings import (
    GROUPS,
    LauncherName,
    RabbitSettings,
    S3Settings,
    Settings,
)
from moderate.watch.clocks import clock_finding, http_clocks
from moderate.watch.findings import Finding, Grade
from moderate.watch.numbers import (
    BROKER_FLOW,
    Numbers,
    inbox_of,
    look,
    wanted_schema,
)
from moderate.watch.peers import (
    cluster_of,
    keycloak_version,
    kubernetes_version,
)
from moderate.watch.rights import lacking_rights

ADVICE = {
    "postgres": "see that Postgres runs, and check {settings}",
    "rabbitmq": "see that the broker runs, and check {settings}",
    "keycloak": "see that Keycloak runs, that the account may view the"
    " realm's users, and check {settings}",
    "platform_api": "see that the gateway runs, that the account has the role"
    " api_admin, and check {settings}",
    "s3": "see that the key may list, read and write both buckets, and check"
    " {settings}",
    "open_metadata": "see that OpenMetadata runs, that the token is the"
    " ingestion bot's, and check {settings}",
    "kubernetes": "see that the worker's service account has the role of"
    " `helm-values/manifests`, and check ANALYSIS_LAUNCHER",
    "vault": "see that the vault runs and is not sealed, that our token or"
    " role is known to it, and check VAULT_ADDR, VAULT_TOKEN,"
    " VAULT_TOKEN_FILE, VAULT_ROLE",
}
GROUP_OF = {"rabbitmq": "rabbit"}
PROBE_KEY = ".moderate-doctor"
"""An object that is written and removed at once."""

LEAST_VERSIONS: Mapping[str, tuple[int, ...]] = {
    "postgres": (15,),
    "rabbitmq": (3, 10),
    "keycloak": (26,),
    "open_metadata": (1, 12),
}
"""The oldest of each peer that this service was tried with."""

ASKED_FOR_VERSION: Mapping[str, Callable[[Settings], str]] = {
    "keycloak": keycloak_version,
    "kubernetes": kubernetes_version,
}
"""Those that do not say their version to a probe."""

LOOKS_MISSED = 5
LEAST_LATE_SECONDS = 60.0


def examine(settings: Settings, kinds: Iterable[Kind]) -> Iterator[Finding]:
    """Check flows, peers, inbox, queue and clocks."""
    numbers = look(settings, kinds)
    yield from _flows(numbers)
    yield from _peers(settings, numbers)
    if settings.postgres:
        yield from _inbox(settings)
    if settings.s3 and not _problem_of(numbers, "s3"):
        yield _outputs_bucket(settings, settings.s3)
    if not _problem_of(numbers, "kubernetes"):
        yield from _cluster(settings)
    if settings.rabbit and settings.flow(BROKER_FLOW).is_on:
        yield from _queues(numbers)
    if settings.rabbit and not _problem_of(numbers, "rabbitmq"):
        yield _broker_rights(settings, settings.rabbit)
    if _is_well(numbers, "vault"):
        yield _key_rights(settings)
    if not numbers.inbox_problem:
        yield from _ticks(settings, numbers)
    yield from http_clocks(settings)


def _flows(numbers: Numbers) -> Iterator[Finding]:
    for flow in numbers.flows:
        if flow.is_on:
            yield Finding(f"flow {flow.flow}", Grade.OK, "on")
        else:
            _, _, missing = flow.why_off.partition(": ")
            yield Finding(f"flow {flow.flow}", Grade.NOTE, "off", missing)


def _peers(settings: Settings, numbers: Numbers) -> Iterator[Finding]:
    for peer in numbers.peers:
        check = f"peer {peer.peer}"
        if peer.problem:
            yield Finding(check, Grade.FAULT, peer.problem, _advice(peer.peer))
            continue
        version = peer.version
        if ask := ASKED_FOR_VERSION.get(peer.peer):
            version = _or_unknown(partial(ask, settings))
        named = f", version {version}" if version else ""
        found = f"answers and knows us, {peer.seconds:.2f} s{named}"
        yield _judged(peer.peer, Finding(check, Grade.OK, found), version)


def _judged(peer: str, finding: Finding, version: str) -> Finding:
    """Return a finding, or a fault where the peer is too old.

    A peer that does not say its version is taken as it is.
    """
    least = LEAST_VERSIONS.get(peer, ())
    told = re.search(r"\d+(?:\.\d+)*", version)
    numbers = tuple(map(int, told[0].split("."))) if told else least
    if numbers >= least:
        return finding
    wanted = ".".join(map(str, least))
    return replace(
        finding,
        grade=Grade.FAULT,
        advice=f"upgrade it to {wanted} or newer, see docs/migration.md",
    )


def _problem_of(numbers: Numbers, peer: str) -> str:
    return "".join(p.problem for p in numbers.peers if p.peer == peer)


def _is_well(numbers: Numbers, peer: str) -> bool:
    return any(p.peer == peer and not p.problem for p in numbers.peers)


def _broker_rights(settings: Settings, rabbit: RabbitSettings) -> Finding:
    """Ask whether we may take messages, and put those aside that are wrong."""
    check = "rabbitmq rights"
    queue = settings.matrix_profile.queue
    bound = settings.operations.probe_timeout.total_seconds()
    timeouts = Timeouts(connect=bound, operation=bound)
    try:
        with Rabbit(rabbit.url, timeouts=timeouts).channel() as channel:
            may = {
                f"read queue {queue}": channel.may_read(queue),
                "write to the default exchange": channel.may_publish(),
            }
    except ModerateError as error:
        said = Redactor(settings.secrets()).redact(str(error))
        return Finding(check, Grade.NOTE, f"not known: {said}")
    lacking = [right for right, granted in may.items() if granted is False]
    if not lacking:
        return Finding(check, Grade.OK, "the account may do what it needs")
    return Finding(
        check,
        Grade.FAULT,
        f"the account may not {', nor '.join(lacking)}",
        "grant it by `rabbitmqctl set_permissions`",
    )


def _key_rights(settings: Settings) -> Finding:
    """Ask whether we may read the keys of the data services."""
    check = "vault rights"
    folder = f"{settings.data_services.vault_path}/"
    try:
        granted = vault_keys(settings.data_services).may_read()
    except ModerateError as error:
        said = Redactor(settings.secrets()).redact(str(error))
        return Finding(check, Grade.NOTE, f"not known: {said}")
    if granted:
        return Finding(check, Grade.OK, f"the token may read {folder}")
    return Finding(
        check,
        Grade.NOTE,
        f"the token may not read all keys below {folder}",
        "grant it `read`, unless it is granted key by key",
    )


def _outputs_bucket(settings: Settings, s3: S3Settings) -> Finding:
    """Write a small object where reports go, and remove it."""
    storage = storage_client(s3)
    check = f"bucket {s3.outputs_bucket}"
    try:
        storage.put(s3.outputs_bucket, PROBE_KEY, b"doctor", "text/plain")
        storage.delete(s3.outputs_bucket, PROBE_KEY)
    except ModerateError as error:
        said = Redactor(settings.secrets()).redact(str(error))
        return Finding(check, Grade.FAULT, said, _advice("s3"))
    return Finding(check, Grade.OK, "the key may write and delete")


def _cluster(settings: Settings) -> Iterator[Finding]:
    """Say what our account may not do where analyses run."""
    if settings.analyses.launcher is not LauncherName.KUBERNETES:
        return
    check = "kubernetes rights"
    try:
        lacking = lacking_rights(cluster_of(settings))
    except ModerateError as error:
        said = Redactor(settings.secrets()).redact(str(error))
        yield Finding(check, Grade.NOTE, f"not known: {said}")
        return
    if lacking:
        said = f"the account may not {', '.join(lacking)}"
        yield Finding(check, Grade.FAULT, said, _advice("kubernetes"))
    else:
        yield Finding(check, Grade.OK, "the account may do what it needs")


def _or_unknown(ask: Callable[[], str]) -> str:
    """A version that is not told is no fault."""
    try:
        return ask()
    except ModerateError:
        return ""


def _advice(peer: str) -> str:
    group = GROUPS.get(GROUP_OF.get(peer, peer))
    names = ", ".join(group.variables()) if group else ""
    return ADVICE[peer].format(settings=names)


def _inbox(settings: Settings) -> Iterator[Finding]:
    redact = Redactor(settings.secrets()).redact
    try:
        with inbox_of(settings) as conn:
            found = schema_version(conn)
            skew = _clock_of(conn)
            lacking = _lacking_rights(conn) if found else ()
    except ModerateError as error:
        yield Finding(
            "inbox",
            Grade.FAULT,
            redact(str(error)),
            f"see that Postgres runs; `{MEND}` makes the database",
        )
        return
    yield _schema(found)
    if lacking:
        yield Finding(
            "inbox rights",
            Grade.FAULT,
            f"the role may not write {', '.join(lacking)}",
            "grant it SELECT, INSERT, UPDATE and DELETE on them",
        )
    elif found:
        yield Finding("inbox rights", Grade.OK, "the role may write")
    yield clock_finding(
        "clock of postgres", skew, settings.operations.clock_skew
    )


def _schema(found: int) -> Finding:
    wanted = wanted_schema()
    if found == wanted:
        return Finding("inbox schema", Grade.OK, f"version {found}")
    said = f"version {found}, this release needs {wanted}"
    newer = "run the release that brought it"
    mend = f"run `{MEND}`" if found < wanted else newer
    return Finding("inbox schema", Grade.FAULT, said, mend)


def _lacking_rights(conn: Conn) -> tuple[str, ...]:
    """Return the tables that the role may not work with."""
    rows = conn.execute(
        "SELECT c.relname AS name FROM pg_class AS c"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        # Only `moderate inbox migrate` writes this one.
        " AND c.relname <> 'schema_version'"
        " AND NOT (has_table_privilege(c.oid, 'SELECT')"
        " AND has_table_privilege(c.oid, 'INSERT')"
        " AND has_table_privilege(c.oid, 'UPDATE')"
        " AND has_table_privilege(c.oid, 'DELETE'))"
        " ORDER BY c.relname"
    ).fetchall()
    return tuple(row["name"] for row in rows)


def _clock_of(conn: Conn) -> timedelta:
    """Return by how much the server's clock is ahead of ours."""
    before = datetime.now(UTC)
    told = server_now(conn)
    after = datetime.now(UTC)
    return told - (before + (after - before) / 2)


def _queues(numbers: Numbers) -> Iterator[Finding]:
    for flow in numbers.flows:
        if flow.flow != BROKER_FLOW:
            continue
        if flow.queue_messages is None:
            yield Finding(
                "queue",
                Grade.NOTE,
                "there is none yet",
                "the sensor declares it at its first tick; the platform's"
                " messages are dropped until then",
            )
        else:
            said = f"{flow.queue_messages} messages wait"
            yield Finding("queue", Grade.OK, said)
        if flow.dead_letters:
            yield Finding(
                "dead-letter queue",
                Grade.FAULT,
                f"{flow.dead_letters} messages could not be understood",
                "read their header x-moderate-reason, tell their sender, and"
                " purge the queue",
            )


def _ticks(settings: Settings, numbers: Numbers) -> Iterator[Finding]:
    """Say whether daemon and code server are at work."""
    since = numbers.seconds_since_tick
    if since is None:
        yield Finding(
            "ticks",
            Grade.NOTE,
            "operations_sensor never looked",
            "start daemon and code server, and leave that sensor on",
        )
        return
    found = f"operations_sensor looked {since:.0f} s ago"
    late = LOOKS_MISSED * settings.operations.interval.total_seconds()
    if since <= max(late, LEAST_LATE_SECONDS):
        yield Finding("ticks", Grade.OK, found)
    else:
        yield Finding(
            "ticks",
            Grade.FAULT,
            found,
            "see that the daemon and the code server run (Deployment in the"
            " UI), and that the sensor is on",
        )
