"""Asks every peer that is set up whether it is there and knows us.

A probe is one cheap call with our own account. All are asked at once, and no
peer is waited for longer than the setting says: one that hangs delays
nobody. Its thread ends by the client's own timeouts.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

from moderate.clients.http import HttpClient
from moderate.clients.http import Timeouts as HttpTimeouts
from moderate.clients.keycloak import KeycloakAdminClient
from moderate.clients.object_storage import ObjectStorage
from moderate.clients.object_storage import Timeouts as StorageTimeouts
from moderate.clients.platform_api import PlatformApi
from moderate.clients.rabbitmq import Rabbit
from moderate.clients.rabbitmq import Timeouts as RabbitTimeouts
from moderate.connections import inbox_address, vault_keys
from moderate.errors import ModerateError, PermanentError, TemporaryError
from moderate.inbox.database import server_version, single_connection
from moderate.redaction import Redactor
from moderate.settings import (
    DataServiceSettings,
    KeycloakSettings,
    KeySource,
    LauncherName,
    OpenMetadataSettings,
    PlatformApiSettings,
    RabbitSettings,
    S3Settings,
    Settings,
)

if TYPE_CHECKING:
    from moderate.analyses.kubernetes_api import Cluster

PEERS = (
    "postgres",
    "rabbitmq",
    "keycloak",
    "platform_api",
    "s3",
    "open_metadata",
    "kubernetes",
    "vault",
)
"""All that can be set up."""

NO_OBJECT = ".moderate-probe"
"""An object, and a Job, that nobody ever makes: asked for, it is missed."""


@dataclass(frozen=True)
class Greeted:
    """What a peer said to a probe.

    Attributes:
        version: As it says itself; empty if it doesn't.
        queues: Messages that wait, by queue; ``None``: no such queue.
    """

    version: str = ""
    queues: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """How a peer answered.

    Attributes:
        peer: Its name.
        seconds: How long it took.
        problem: Why it is of no use; empty if all is well.
        greeted: What it said.
    """

    peer: str
    seconds: float
    problem: str = ""
    greeted: Greeted = Greeted()

    @property
    def is_well(self) -> bool:
        """Say whether it is there and knows us."""
        return not self.problem


Ask = Callable[[], Greeted]


def peers_of(settings: Settings) -> Mapping[str, Ask]:
    """Return how each peer that is set up is asked."""
    bound = settings.operations.probe_timeout.total_seconds()
    asks: dict[str, Ask] = {}
    if settings.postgres:
        asks["postgres"] = lambda: _postgres(settings)
    if rabbit := settings.rabbit:
        asks["rabbitmq"] = lambda: _rabbitmq(settings, rabbit, bound)
    if keycloak := settings.keycloak:
        asks["keycloak"] = lambda: _keycloak(keycloak, bound)
    if platform := settings.platform_api:
        asks["platform_api"] = lambda: _platform_api(platform, bound)
    if s3 := settings.s3:
        asks["s3"] = lambda: _s3(s3, bound)
    if catalogue := settings.open_metadata:
        asks["open_metadata"] = lambda: _open_metadata(catalogue, bound)
    if settings.analyses.launcher is LauncherName.KUBERNETES:
        asks["kubernetes"] = lambda: _kubernetes(settings)
    keys = settings.data_services
    if keys.key_source is KeySource.VAULT:
        asks["vault"] = lambda: _vault(keys, bound)
    return asks


def probe_peers(settings: Settings) -> tuple[Probe, ...]:
    """Ask all peers at once; none is waited for longer than the setting."""
    asks = peers_of(settings)
    if not asks:
        return ()
    redactor = Redactor(settings.secrets())
    bound = settings.operations.probe_timeout.total_seconds()
    pool = ThreadPoolExecutor(len(asks), thread_name_prefix="probe")
    begun = {
        name: pool.submit(_timed, name, ask, redactor)
        for name, ask in asks.items()
    }
    wait(begun.values(), timeout=bound)
    pool.shutdown(wait=False, cancel_futures=True)
    return tuple(_result(each, begun[each], bound) for each in begun)


def _result(peer: str, future: Future[Probe], bound: float) -> Probe:
    if future.done():
        return future.result()
    return Probe(peer, bound, f"no answer within {bound:g} s")


def _timed(peer: str, ask: Ask, redactor: Redactor) -> Probe:
    begun = time.monotonic()
    try:
        greeted, problem = ask(), ""
    except ModerateError as error:
        greeted, problem = Greeted(), redactor.redact(str(error))
    except Exception as error:  # noqa: BLE001  # of a library, whatever it is
        text = redactor.redact(f"{type(error).__name__}: {error}")
        greeted, problem = Greeted(), text
    return Probe(peer, time.monotonic() - begun, problem, greeted)


def _postgres(settings: Settings) -> Greeted:
    where = inbox_address(settings)
    within = settings.operations.probe_timeout
    with single_connection(where, within=within) as conn:
        return Greeted(server_version(conn))


def _rabbitmq(
    settings: Settings, rabbit: RabbitSettings, bound: float
) -> Greeted:
    flow = settings.matrix_profile
    timeouts = RabbitTimeouts(connect=bound, operation=bound)
    with Rabbit(rabbit.url, timeouts=timeouts).channel() as channel:
        names = (flow.queue, flow.dead_letter_queue)
        return Greeted(
            channel.server,
            {name: channel.queue_length(name) for name in names},
        )


@cache
def _keycloak_client(
    settings: KeycloakSettings, bound: float
) -> KeycloakAdminClient:
    return KeycloakAdminClient(
        str(settings.server_url),
        settings.username,
        settings.password,
        settings.realm,
        timeout=ceil(bound),
    )


def _keycloak(settings: KeycloakSettings, bound: float) -> Greeted:
    _keycloak_client(settings, bound).count_users()
    return Greeted()


def keycloak_version(settings: Settings) -> str:
    """Return Keycloak's version: a long answer, so no part of a probe."""
    if settings.keycloak is None:
        return ""
    bound = settings.operations.probe_timeout.total_seconds()
    return _keycloak_client(settings.keycloak, bound).version()


def keycloak_clock(settings: Settings) -> datetime | None:
    """Return Keycloak's time; a new login, so no part of a probe."""
    if settings.keycloak is None:
        return None
    bound = settings.operations.probe_timeout.total_seconds()
    return _keycloak_client(settings.keycloak, bound).clock()


@cache
def _platform_client(
    settings: PlatformApiSettings, bound: float
) -> PlatformApi:
    return PlatformApi(
        str(settings.base_url),
        settings.username,
        settings.password,
        timeouts=_http_timeouts(bound),
    )


def _platform_api(settings: PlatformApiSettings, bound: float) -> Greeted:
    greeting = _platform_client(settings, bound).ping()
    if greeting.is_admin is False:
        msg = f"account {settings.username} lacks the role api_admin"
        raise PermanentError(msg)
    return Greeted()


@cache
def _storage(settings: S3Settings, bound: float) -> ObjectStorage:
    return ObjectStorage(
        settings.access_key_id,
        settings.secret_access_key,
        settings.region,
        str(settings.endpoint_url),
        timeouts=StorageTimeouts(connect=bound, read=bound),
    )


def _s3(settings: S3Settings, bound: float) -> Greeted:
    storage = _storage(settings, bound)
    for bucket in (settings.bucket, settings.outputs_bucket):
        storage.exists(bucket, NO_OBJECT)
    return Greeted()


@cache
def _catalogue(settings: OpenMetadataSettings, bound: float) -> HttpClient:
    return HttpClient(
        settings.url,
        timeouts=_http_timeouts(bound),
        redactor=Redactor([settings.token]),
    )


def _open_metadata(settings: OpenMetadataSettings, bound: float) -> Greeted:
    client = _catalogue(settings, bound)
    token = settings.token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"}
    told = client.request("GET", "/v1/system/version").json()
    # The version is told to everybody; this only to whom it knows.
    path = "/v1/services/databaseServices"
    client.request("GET", path, params={"limit": 1}, headers=headers)
    version = told.get("version") if isinstance(told, dict) else ""
    return Greeted(str(version or ""))


def cluster_of(settings: Settings) -> "Cluster":
    """Return the cluster where analyses run.

    Raises:
        TemporaryError: There is none.
    """
    from moderate.analyses.kubernetes_api import connect  # noqa: PLC0415

    return connect(settings.analyses.namespace, settings.analyses.kube_context)


def _kubernetes(settings: Settings) -> Greeted:
    from moderate.analyses.kubernetes_api import (  # noqa: PLC0415
        JOBS,
        PODS,
    )

    cluster = cluster_of(settings)
    for kind in (JOBS, PODS):
        cluster.get(kind, NO_OBJECT.lstrip("."))
    return Greeted()


def kubernetes_version(settings: Settings) -> str:
    """Return the cluster's version, which not everybody is told.

    Raises:
        TemporaryError: We are not, or it can't be reached.
    """
    from kubernetes import client
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    bound = settings.operations.probe_timeout.total_seconds()
    api = client.VersionApi(cluster_of(settings).client)
    try:
        return str(api.get_code(_request_timeout=bound).git_version or "")
    except (client.ApiException, HTTPError, ValueError) as error:
        msg = f"the cluster's version: {type(error).__name__}"
        raise TemporaryError(msg) from None


def _vault(settings: DataServiceSettings, bound: float) -> Greeted:
    return Greeted(vault_keys(settings, bound).greet())


def _http_timeouts(bound: float) -> HttpTimeouts:
    return HttpTimeouts(
        connect=bound, read=bound, write=bound, pool=bound, total=bound
    )
