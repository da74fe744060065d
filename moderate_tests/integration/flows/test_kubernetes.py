"""The flow with its analyses on a cluster."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import DagsterRunStatus

from moderate.inbox.model import State
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate_tests import canary
from moderate_tests.integration.flows.kubernetes_service import (
    KubernetesService,
    service_on_cluster,
)
from moderate_tests.integration.flows.platform import AsUser, environment
from moderate_tests.integration.flows.waiting import meanwhile, wait_until
from moderate_tests.kubernetes.cluster import NAMESPACE

pytestmark = pytest.mark.services


@pytest.fixture
def on_cluster(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[KubernetesService]:
    """The service in this process; its analyses are stand-ins in pods."""
    with service_on_cluster(
        settings, platform_api.url, as_user, tmp_path, monkeypatch
    ) as service:
        yield service


def an_analysis_runs(service: KubernetesService) -> Callable[[], bool]:
    def runs() -> bool:
        item = service.item()
        return service.is_at_work() and any(
            map(service.is_running, service.attempts(item))
        )

    return runs


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def evicted(service: KubernetesService, variable: str = "slow") -> str:
    """Start an analysis, end its run, and return the attempt's name."""
    service.post_job(variable)
    (request,) = service.tick()
    with meanwhile(an_analysis_runs(service), interrupt):
        service.execute(request)
    (attempt,) = service.attempts(service.item())
    return attempt.name


def nothing_is_left(service: KubernetesService) -> bool:
    kinds = ("jobs", "pods", "secrets")
    return not any(map(service.cluster.names, kinds))


def test_a_job_message_becomes_a_report_by_way_of_a_job(
    on_cluster: KubernetesService, capfd: pytest.CaptureFixture[str]
) -> None:
    job = on_cluster.post_job("tell-all-and-report")

    (run,) = on_cluster.tick_and_carry_out()

    assert run.success
    assert on_cluster.results(job)["output_key"].endswith("-1.html")
    wait_until(lambda: nothing_is_left(on_cluster))
    shown = capfd.readouterr().out
    assert "ANALYSIS_VARIABLE=tell-all-and-report" in shown, "it is followed"
    assert os.environ["S3_SECRET_ACCESS_KEY"] not in shown
    assert "X-Amz-Signature=***" in shown


@pytest.mark.full
def test_only_secrets_of_the_cluster_hold_a_secret(
    on_cluster: KubernetesService,
    settings: dict[str, str],
    summary: Callable[[str], None],
) -> None:
    """In all versions of all objects that there were, well or badly."""
    for variable in ("tell-all-and-report", "tell-all", "bad"):
        on_cluster.post_job(variable)
        on_cluster.tick_and_carry_out()
    wait_until(lambda: not on_cluster.cluster.names("jobs"))
    things = [each.thing for each in on_cluster.cluster.store.history]
    kept = [thing for thing in things if thing.get("kind") == "Secret"]
    assert any("FILE_URL" in (thing.get("data") or {}) for thing in kept)
    sweep = canary.Sweep({**canary.stand_ins(), **settings})
    sweep.look("cluster", canary.kubernetes(things))
    sweep.look("command lines", canary.command_lines())
    summary(sweep.summary("analyses on Kubernetes"))
    assert not sweep.leaks


def test_labels_of_a_job_lead_to_run_and_platform_job(
    on_cluster: KubernetesService,
) -> None:
    name = evicted(on_cluster)
    made = on_cluster.cluster.get("jobs", name)
    labels = made["metadata"]["labels"]
    (told,) = {on_cluster.item().key}
    assert labels["moderate/workflow-job-id"] == told
    assert labels["moderate/run-id"]
    assert labels["moderate/item"] == str(on_cluster.item().id)
    password = os.environ["S3_SECRET_ACCESS_KEY"]
    assert password not in str(made)


def test_what_failed_says_why_and_keeps_its_log(
    on_cluster: KubernetesService, s3: S3
) -> None:
    job = on_cluster.post_job("bad")

    on_cluster.tick_and_carry_out()

    assert on_cluster.item().state == State.DEAD
    results = on_cluster.results(job)
    assert results["error"] == "the column is empty"
    log = s3.client().get_object(
        Bucket=OUTPUTS_BUCKET, Key=results["error_logs_key"]
    )
    assert log["Body"].read() == b"the column is empty\n"
    wait_until(lambda: nothing_is_left(on_cluster))


def test_the_next_run_adopts_the_job_of_an_evicted_one(
    on_cluster: KubernetesService,
) -> None:
    name = evicted(on_cluster)

    with meanwhile(
        lambda: on_cluster.item().state == State.RUNNING,
        on_cluster.let_analyses_go_on,
    ):
        (run,) = on_cluster.tick_and_carry_out()

    assert run.success
    assert on_cluster.item().dispatch == 2
    assert on_cluster.cluster.node.starts == [name]


def test_cancelling_deletes_the_job_with_its_pod_and_secret(
    on_cluster: KubernetesService,
) -> None:
    on_cluster.post_job("slow")
    (request,) = on_cluster.tick()
    run_id = str(uuid4())

    def cancel() -> None:
        run = on_cluster.instance.get_run_by_id(run_id)
        assert run
        on_cluster.instance.report_run_canceling(run)

    with meanwhile(an_analysis_runs(on_cluster), cancel):
        on_cluster.execute(request, run_id)

    run = on_cluster.instance.get_run_by_id(run_id)
    assert run
    assert run.status == DagsterRunStatus.CANCELED
    assert on_cluster.item().state == State.CANCELLED
    wait_until(lambda: nothing_is_left(on_cluster))


def test_the_log_of_one_that_ended_with_nobody_there_is_stored_first(
    on_cluster: KubernetesService, s3: S3
) -> None:
    """Its worker was killed before it could; the next one does."""
    name = evicted(on_cluster)
    (attempt,) = on_cluster.attempts(on_cluster.item())
    on_cluster.cluster.node.pod_of(name).kill()
    wait_until(lambda: not on_cluster.is_running(attempt))
    on_cluster.let_analyses_go_on()

    (run,) = on_cluster.tick_and_carry_out()

    assert run.success
    found = s3.client().list_objects_v2(Bucket=OUTPUTS_BUCKET)
    keys = {each["Key"].rpartition("-")[2] for each in found["Contents"]}
    assert keys == {"1.log", "2.html"}
    wait_until(lambda: nothing_is_left(on_cluster))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            "UPDATE work_item SET state = 'dead',"
            " finished_at = clock_timestamp()",
            id="over",
        ),
        pytest.param("DELETE FROM work_item", id="unknown"),
    ],
)
def test_a_job_whose_item_is_over_or_unknown_is_ended(
    on_cluster: KubernetesService, change: str
) -> None:
    """By its label it is this inbox', so nobody else waits for it."""
    evicted(on_cluster)
    assert on_cluster.end_leftovers().startswith("ended 0 ")

    on_cluster.sql(change)

    assert on_cluster.end_leftovers().startswith("ended 1 ")
    wait_until(lambda: nothing_is_left(on_cluster))


def test_a_job_that_can_not_begin_is_told_in_plain_words(
    on_cluster: KubernetesService,
) -> None:
    on_cluster.cluster.controllers.rejections[NAMESPACE] = (
        'violates PodSecurity "restricted:latest"'
    )
    job = on_cluster.post_job("report")

    with environment({"ANALYSIS_START_PATIENCE_SECONDS": "0"}):
        on_cluster.tick_and_carry_out()

    assert on_cluster.item().state == State.DEAD
    assert on_cluster.results(job)["error"] == (
        "The analysis is not set up correctly (the namespace's rules forbid"
        " it)."
    )
    wait_until(lambda: nothing_is_left(on_cluster))
