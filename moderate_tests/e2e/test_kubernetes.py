"""The whole service where analyses are Jobs of a cluster."""

from collections.abc import Iterator

import pytest

from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.on_kubernetes import LARGE_SERIES, live_on_kubernetes
from moderate_tests.kubernetes.cluster import TestCluster

pytestmark = [
    pytest.mark.services,
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def on_kubernetes() -> Iterator[tuple[Live, TestCluster]]:
    """The service and its cluster."""
    with live_on_kubernetes() as running:
        yield running


def test_a_message_becomes_a_job_and_a_report(
    on_kubernetes: tuple[Live, TestCluster],
) -> None:
    live, cluster = on_kubernetes
    job = live.post()
    live.until_settled([job])
    results = live.results(job)
    assert results["error"] is None
    assert b"<html" in live.output(results["output_key"])
    (name,) = cluster.names("jobs")
    labels = cluster.get("jobs", name)["metadata"]["annotations"]
    assert str(job) in labels.values(), "the Job leads back to its message"


def test_an_analysis_out_of_memory_is_explained_to_its_user(
    on_kubernetes: tuple[Live, TestCluster],
) -> None:
    live, _ = on_kubernetes
    job = live.post_on(LARGE_SERIES)
    live.until_settled([job])
    assert "memory" in live.results(job)["error"]
    assert live.state(job) is State.DEAD
    (run,) = live.ui.runs_of(job)
    assert run.status == "FAILURE"
