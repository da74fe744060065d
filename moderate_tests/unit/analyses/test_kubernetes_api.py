"""The edge to a cluster: how it is found, what its answers mean."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kubernetes.config import incluster_config

from moderate.analyses import kubernetes_api, kubernetes_objects
from moderate.analyses.kubernetes_api import JOBS, ServerClock, connect
from moderate.analyses.kubernetes_errors import GoneError
from moderate.analyses.launcher import (
    NoRoomError,
    RefusedError,
    Running,
)
from moderate.errors import PermanentError, TemporaryError
from moderate_tests.contract.launchers import programs
from moderate_tests.integration.flows.git_server import certify
from moderate_tests.kubernetes.cluster import NAMESPACE
from moderate_tests.kubernetes.store import ApiError, Json, stamp
from moderate_tests.unit.analyses.kubernetes_bench import (
    ATTEMPT,
    NAME,
    KubernetesBench,
)

HOUR = timedelta(hours=1)
OBJECTS = 5

# How it is found


@pytest.fixture
def in_a_pod(
    kubernetes: KubernetesBench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Let this process be in a pod: return where its account is."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    certificate, key = account / "ca.crt", tmp_path / "key.pem"
    certify(certificate, key)
    server = kubernetes.cluster.server
    server.kill()
    server.tls = (certificate, key)
    server.start()
    (account / "token").write_text("a-token")
    (account / "namespace").write_text(f"{NAMESPACE}\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    for name, file in (("TOKEN", "token"), ("CERT", "ca.crt")):
        monkeypatch.setattr(
            incluster_config, f"SERVICE_{name}_FILENAME", str(account / file)
        )
    return account


@pytest.mark.usefixtures("in_a_pod")
def test_in_a_cluster_the_pods_own_account_and_namespace_are_used(
    kubernetes: KubernetesBench,
) -> None:
    kubernetes.cluster.server.token = "a-token"

    cluster = connect()

    assert cluster.namespace == NAMESPACE
    assert cluster.find(JOBS) == []
    assert connect("other").namespace == "other"


@pytest.mark.usefixtures("in_a_pod")
def test_a_token_that_is_not_accepted_is_no_fault_of_the_item(
    kubernetes: KubernetesBench,
) -> None:
    kubernetes.cluster.server.token = "another-token"

    with pytest.raises(RefusedError, match="401"):
        connect().find(JOBS)


def test_without_a_cluster_and_a_kubeconfig_that_is_said(
    in_a_pod: Path,
) -> None:
    (in_a_pod / "ca.crt").unlink()

    with pytest.raises(TemporaryError, match="no access"):
        connect()


# What its answers mean


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (
            403,
            'jobs.batch is forbidden: User "u" cannot create resource "jobs"',
            RefusedError,
        ),
        (401, "Unauthorized", RefusedError),
        (
            403,
            'jobs.batch "x" is forbidden: exceeded quota: count/jobs.batch=9',
            NoRoomError,
        ),
        (403, 'admission webhook "w" denied the request', TemporaryError),
        (403, "ValidatingAdmissionPolicy 'p' denied request", TemporaryError),
        (422, "spec: Invalid value", PermanentError),
    ],
)
def test_who_is_at_fault_is_told_apart(
    kubernetes: KubernetesBench, code: int, said: str, kind: type[Exception]
) -> None:
    """A webhook says no to this Job; a Role and a quota do to any."""

    def refuse(method: str, _: str) -> None:
        if method == "POST":
            raise ApiError(code, "Forbidden", said)

    kubernetes.cluster.server.before = refuse

    with pytest.raises(kind) as raised:
        kubernetes.launcher().prepare(kubernetes.spec())

    assert type(raised.value) is kind


# Lists


@pytest.fixture
def pages(kubernetes: KubernetesBench, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have more objects than an answer holds; return how many it does."""
    monkeypatch.setattr(kubernetes_api, "PAGE", 2)
    for number in range(OBJECTS):
        made(kubernetes, f"event-{number}")
    return 2


def made(kubernetes: KubernetesBench, name: str) -> None:
    thing = {"metadata": {"name": name}, "reason": "R"}
    kubernetes.cluster.store.create("events", NAMESPACE, thing)


def names(found: list[Json]) -> list[str]:
    return [each["metadata"]["name"] for each in found]


@pytest.mark.usefixtures("pages")
def test_a_long_list_is_read_page_by_page(kubernetes: KubernetesBench) -> None:
    found = kubernetes.cluster.client().find(kubernetes_api.EVENTS)

    assert names(found) == [f"event-{n}" for n in range(OBJECTS)]
    asked = [r for r in kubernetes.cluster.server.requests if "/events" in r]
    assert len(asked) == 3
    assert all("limit=2" in each for each in asked)


@pytest.mark.usefixtures("pages")
def test_a_list_that_is_forgotten_between_two_pages_is_read_anew(
    kubernetes: KubernetesBench,
) -> None:
    """And not put together of two versions."""
    forget_once(kubernetes)

    found = kubernetes.cluster.client().find(kubernetes_api.EVENTS)

    assert sorted(names(found)) == sorted(
        [*(f"event-{n}" for n in range(OBJECTS)), "late-0"]
    )


@pytest.mark.usefixtures("pages")
def test_a_list_that_is_forgotten_again_and_again_is_given_up(
    kubernetes: KubernetesBench,
) -> None:
    forget_once(kubernetes, times=2)

    with pytest.raises(GoneError):
        kubernetes.cluster.client().find(kubernetes_api.EVENTS)


def forget_once(kubernetes: KubernetesBench, times: int = 1) -> None:
    """Have the store compacted before a further page is asked for."""
    left = list(range(times))

    def forget(_: str, path: str) -> None:
        if "continue=" in path and left:
            made(kubernetes, f"late-{left.pop(0)}")
            kubernetes.cluster.store.forget_history()

    kubernetes.cluster.server.before = forget


# Its clock


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_times_are_compared_with_the_servers_clock(
    kubernetes: KubernetesBench, ahead: timedelta
) -> None:
    """A worker's clock may be wrong: an answer says what time it is there."""
    kubernetes.cluster.server.ahead = ahead
    cluster = kubernetes.cluster.client()

    cluster.find(JOBS)

    off = cluster.clock.now() - (datetime.now(UTC) + ahead)
    assert abs(off) < timedelta(seconds=30)


def test_a_pod_that_has_its_grace_yet_is_not_lost_to_a_clock_that_is_fast(
    kubernetes: KubernetesBench,
) -> None:
    """Two would run at once: the earlier one was not seen gone."""
    launcher = kubernetes.launched()
    kubernetes.cluster.server.ahead = -HOUR
    there = datetime.now(UTC) - HOUR
    pod = kubernetes.cluster.pod_of(NAME)["metadata"]["name"]
    kubernetes.cluster.node.is_lost = True  # else it would end it
    kubernetes.cluster.store.change(
        ("pods", NAMESPACE, pod),
        lambda pod: pod["metadata"].update(
            deletionTimestamp=stamp(there + HOUR / 2),
            # No longer than its own, or the Job's end would cut it short.
            deletionGracePeriodSeconds=1,
        ),
    )
    programs.until(lambda: is_failing(kubernetes))

    assert isinstance(launcher.status(ATTEMPT), Running)


def is_failing(kubernetes: KubernetesBench) -> bool:
    job = kubernetes.cluster.get("jobs", NAME)
    return kubernetes_objects.condition(job, "FailureTarget") is not None


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sat, 21 Nov 2026 23:00:00 -0000"]
)
def test_a_date_that_is_none_leaves_the_clock_alone(date: str | None) -> None:
    clock = ServerClock()

    clock.hear(date)

    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=30)
