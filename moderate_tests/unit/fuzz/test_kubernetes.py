"""Whatever a cluster says, an attempt stands somehow or waits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from moderate.analyses import kubernetes_api
from moderate.analyses.kubernetes_api import EVENTS, JOBS, PODS, Cluster
from moderate.analyses.kubernetes_objects import Facts
from moderate.analyses.kubernetes_outcome import standing
from moderate.analyses.kubernetes_reader import Reader
from moderate.analyses.kubernetes_spec import Options
from moderate.analyses.launcher import AttemptId
from moderate.analyses.outcomes import outcome_of_exit, summarise
from moderate_tests.unit.clients.peer import Peer, serving
from moderate_tests.unit.fuzz.inputs import (
    Answer,
    answers,
    changed,
    ends_as_promised,
    raw,
)

ATTEMPT = AttemptId("matrix-profile", 42, 3)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LABELS = {"moderate/service": "s", "moderate/kind": "matrix-profile"}
JOB = {
    "metadata": {
        "name": "j",
        "uid": "u",
        "labels": LABELS,
        "annotations": {
            "moderate/verdict": '{"reason": "stopped", "detail": "x"}'
        },
    },
    "spec": {"suspend": False},
    "status": {
        "conditions": [
            {
                "type": "Failed",
                "status": "True",
                "reason": "BackoffLimitExceeded",
            }
        ]
    },
}
UNDECIDED = {**JOB, "metadata": {"name": "j", "uid": "u", "labels": LABELS}}
POD = {
    "metadata": {
        "name": "j-1",
        "uid": "v",
        "creationTimestamp": "2026-11-21T00:00:00Z",
        "labels": LABELS,
        "deletionTimestamp": "2026-11-21T00:00:00Z",
        "deletionGracePeriodSeconds": 30,
    },
    "spec": {"nodeName": "n"},
    "status": {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
        "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "x"}
        ],
        "containerStatuses": [
            {
                "name": "analysis",
                "state": {
                    "terminated": {
                        "exitCode": 137,
                        "reason": "OOMKilled",
                        "finishedAt": "2026-11-21T00:00:00Z",
                        "message": "killed",
                    }
                },
            }
        ],
    },
}
WAITING = {
    "metadata": {"name": "j-1", "uid": "v", "labels": LABELS},
    "spec": {},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False"}],
        "containerStatuses": [
            {
                "name": "analysis",
                "state": {"waiting": {"reason": "ErrImagePull"}},
            }
        ],
    },
}
EVENT = {
    "metadata": {"name": "e"},
    "reason": "FailedCreate",
    "message": 'pods "j" is forbidden: exceeded quota',
    "lastTimestamp": "2026-11-21T00:00:00Z",
}
STATUS = {
    "kind": "Status",
    "status": "Failure",
    "reason": "AlreadyExists",
    "message": "jobs exist",
    "code": 409,
}


@given(
    job=st.none() | changed(JOB) | changed(UNDECIDED),
    pods=st.lists(changed(POD) | changed(WAITING), max_size=2),
    events=st.lists(changed(EVENT), max_size=2),
    log=st.binary(max_size=80),
)
def test_an_attempt_stands_somehow(
    job: Any, pods: Any, events: Any, log: bytes
) -> None:
    facts = Facts(job, pods, lambda: events, lambda: log, NOW)
    ends_as_promised(lambda: standing(facts))


@given(st.integers(), st.binary(max_size=200))
def test_any_exit_has_a_meaning_in_one_line(code: int, log: bytes) -> None:
    outcome = outcome_of_exit(code, log)
    assert len(summarise(outcome, log).splitlines()) == 1


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def reader(peer: Peer) -> Iterator[Reader]:
    settings = client.Configuration(host=peer.url)
    settings.retries = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_api, "WAITS_SECONDS", ())
        cluster = Cluster(client.ApiClient(settings), "analyses")
        yield Reader(cluster, Options("s"))


LISTS = (
    {"items": [POD, WAITING], "metadata": {"resourceVersion": "7"}},
    {"items": [JOB]},
    {"items": [EVENT]},
)


@given(said=answers(JOB, STATUS, *LISTS))
def test_an_api_server_may_answer_anything(
    peer: Peer, reader: Reader, said: Answer
) -> None:
    peer.answer = lambda _request: raw(said)
    cluster = reader.cluster
    for ask in (
        lambda: cluster.get(JOBS, "j"),
        lambda: cluster.find(PODS),
        lambda: cluster.find_with_version(EVENTS),
        lambda: reader.attempts("a=b"),
        lambda: standing(reader.facts(ATTEMPT)),
    ):
        ends_as_promised(ask)
