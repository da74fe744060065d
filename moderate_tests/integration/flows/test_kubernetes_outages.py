"""What is away is waited for, and what is known is not lost by it.

``ONE_FAILURE`` makes an item dead by its first counted failure.
"""

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError
from dagster import ExecuteInProcessResult

from moderate.clients.platform_models import Job
from moderate.inbox.model import State
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate_tests.integration.flows.kubernetes_service import (
    KubernetesService,
    service_on_cluster,
)
from moderate_tests.integration.flows.platform import AsUser, environment
from moderate_tests.integration.flows.test_kubernetes import (
    an_analysis_runs,
    evicted,
    nothing_is_left,
)
from moderate_tests.integration.flows.waiting import meanwhile, wait_until
from moderate_tests.kubernetes.cluster import NAMESPACE, ApiError
from moderate_tests.ports import CLOSED_PORT

pytestmark = pytest.mark.services

ONE_FAILURE = {"MATRIX_PROFILE_MAX_FAILURES": "1"}
IMPATIENT = {
    "ANALYSIS_PENDING_TIMEOUT_SECONDS": "1",
    "ANALYSIS_START_PATIENCE_SECONDS": "0",
}
NO_S3 = {"S3_ENDPOINT_URL": f"http://127.0.0.1:{CLOSED_PORT}"}


@pytest.fixture
def on_cluster(
    settings: dict[str, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[KubernetesService]:
    """The service in this process; one failure makes an item dead."""
    impatient = {**settings, **ONE_FAILURE}
    with service_on_cluster(
        impatient, platform_api.url, as_user, tmp_path, monkeypatch
    ) as service:
        yield service


def refuse(
    service: KubernetesService, method: str, path: str, said: str
) -> None:
    """Have the API server answer 403 to some requests."""

    def answer(asked: str, where: str) -> None:
        if asked == method and path in where:
            raise ApiError(403, "Forbidden", said)

    service.cluster.server.before = answer


def allow_all(service: KubernetesService) -> None:
    service.cluster.server.before = lambda *_: None


def said_by(run: ExecuteInProcessResult) -> str:
    (failed,) = [e for e in run.all_events if e.is_step_failure]
    error = failed.step_failure_data.error
    assert error
    return str(error.message)


def is_uncounted(service: KubernetesService, why: str) -> bool:
    item = service.item()
    return (
        (item.state, item.failures) == (State.PENDING, 0)
        and why in (item.last_error or "")
        and item.next_attempt_at > item.updated_at + timedelta(seconds=30)
    )


def try_again(service: KubernetesService) -> None:
    service.let_waiting_be_due()
    (run,) = service.tick_and_carry_out()
    assert run.success
    assert service.item().state is State.DONE


# Around the launch


def test_an_api_server_that_is_away_at_the_launch_is_waited_for(
    on_cluster: KubernetesService, caplog: pytest.LogCaptureFixture
) -> None:
    """By the run, which lives and says so meanwhile."""
    job = on_cluster.post_job("report")
    server = on_cluster.cluster.server
    server.kill()

    with meanwhile(lambda: "; waiting" in caplog.text, server.start):
        (run,) = on_cluster.tick_and_carry_out()

    assert run.success
    assert on_cluster.results(job)["output_key"].endswith("-1.html")


def test_an_api_server_that_stays_away_costs_the_item_nothing(
    on_cluster: KubernetesService,
) -> None:
    job = on_cluster.post_job("report")
    on_cluster.cluster.server.kill()

    with environment(IMPATIENT):
        (run,) = on_cluster.tick_and_carry_out()

    assert "no failure is counted" in said_by(run)
    assert is_uncounted(on_cluster, "could not be reached")
    assert not on_cluster.patches(job)
    on_cluster.cluster.server.start()
    try_again(on_cluster)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jobs"), ("PATCH", "/jobs/"), ("GET", "/pods?")],
)
def test_a_verb_that_the_role_lacks_costs_the_item_nothing(
    on_cluster: KubernetesService, method: str, path: str
) -> None:
    on_cluster.post_job("report")
    refuse(on_cluster, method, path, 'User "worker" cannot do that')

    (run,) = on_cluster.tick_and_carry_out()

    assert "no failure is counted" in said_by(run)
    assert is_uncounted(on_cluster, "refused the service: Kubernetes API")
    allow_all(on_cluster)
    try_again(on_cluster)


def test_a_role_that_is_changed_while_an_analysis_runs_ends_nothing(
    on_cluster: KubernetesService,
) -> None:
    on_cluster.post_job("slow")
    (request,) = on_cluster.tick()

    with meanwhile(
        an_analysis_runs(on_cluster),
        lambda: refuse(on_cluster, "GET", "/jobs/", "cannot get"),
    ):
        on_cluster.execute(request)

    assert is_uncounted(on_cluster, "refused the service")
    allow_all(on_cluster)
    on_cluster.let_analyses_go_on()
    try_again(on_cluster)
    assert len(on_cluster.cluster.node.starts) == 1, "it was adopted"


def test_a_quota_on_jobs_is_waited_for_as_one_on_pods_is(
    on_cluster: KubernetesService,
) -> None:
    job = on_cluster.post_job("report")
    quota = 'jobs "x" is forbidden: exceeded quota: count/jobs.batch=1'
    refuse(on_cluster, "POST", "/jobs", quota)

    with environment(IMPATIENT):
        on_cluster.tick_and_carry_out()

    assert on_cluster.results(job)["error"] == (
        "There was no room to run the analysis."
    )
    assert "exceeded quota" in (on_cluster.item().last_error or "")


def test_a_quota_that_has_room_again_is_no_failure(
    on_cluster: KubernetesService, caplog: pytest.LogCaptureFixture
) -> None:
    on_cluster.post_job("report")
    refuse(on_cluster, "POST", "/jobs", "exceeded quota")

    with meanwhile(
        lambda: "; waiting" in caplog.text, lambda: allow_all(on_cluster)
    ):
        (run,) = on_cluster.tick_and_carry_out()

    assert run.success


# What is known already


def log_of(s3: S3, job: Job, dispatch: int) -> bytes | None:
    key = f"matrixprofile-{job.id}-1-{dispatch}.log"
    try:
        found = s3.client().get_object(Bucket=OUTPUTS_BUCKET, Key=key)
    except ClientError:
        return None
    return found["Body"].read()


@pytest.mark.parametrize("away", ["s3", "log"])
def test_an_outcome_that_is_known_is_told_though_its_log_cant_be_stored(
    on_cluster: KubernetesService, s3: S3, away: str
) -> None:
    """And the Job stays until its log could be."""
    job = on_cluster.post_job("bad")
    if away == "log":
        refuse(on_cluster, "GET", "/log", "cannot get pods/log")

    with environment(NO_S3 if away == "s3" else {}):
        on_cluster.tick_and_carry_out()
        assert on_cluster.end_leftovers().startswith("ended 0 ")

    item = on_cluster.item()
    assert item.state is State.DEAD
    assert "its log could not be stored" in (item.last_error or "")
    results = on_cluster.results(job)
    assert results["error_logs_key"] is None
    assert results["error"] in (
        "the column is empty",
        "The data can't be analysed.",
    )
    assert log_of(s3, job, 1) is None
    (name,) = on_cluster.cluster.names("jobs")
    spec = on_cluster.cluster.get("jobs", name)["spec"]
    assert "ttlSecondsAfterFinished" not in spec

    allow_all(on_cluster)

    assert on_cluster.end_leftovers().startswith("ended 1 ")
    assert log_of(s3, job, 1) == b"the column is empty\n"
    wait_until(lambda: nothing_is_left(on_cluster))


def test_a_success_does_not_fail_because_s3_is_away(
    on_cluster: KubernetesService,
) -> None:
    """The report is there, and can't be looked for."""
    evicted(on_cluster)
    on_cluster.let_analyses_go_on()
    wait_until(lambda: on_cluster.cluster.node.spans)
    on_cluster.let_waiting_be_due()

    with environment(NO_S3):
        on_cluster.tick_and_carry_out()

    assert is_uncounted(on_cluster, "whether there is a report")
    try_again(on_cluster)
    assert len(on_cluster.cluster.node.starts) == 1


def test_the_sweep_stores_the_log_of_what_failed_with_nobody_there(
    on_cluster: KubernetesService, s3: S3
) -> None:
    """Its run was killed too often to store it."""
    name = evicted(on_cluster)
    (job,) = [on_cluster.job(int(on_cluster.item().key))]
    (attempt,) = on_cluster.attempts(on_cluster.item())
    on_cluster.cluster.node.pod_of(name).kill()
    wait_until(lambda: not on_cluster.is_running(attempt))
    on_cluster.sql(
        "UPDATE work_item SET state = 'dead', finished_at = clock_timestamp()"
    )

    assert on_cluster.end_leftovers().startswith("ended 1 ")

    assert log_of(s3, job, 1) is not None


def test_a_log_that_is_stored_is_not_replaced_by_less(
    on_cluster: KubernetesService, s3: S3
) -> None:
    """The sweep has not followed it, and the pod may be gone by then."""
    job = on_cluster.post_job("bad")
    refuse(on_cluster, "DELETE", "/secrets/", "cannot delete secrets")
    on_cluster.tick_and_carry_out()
    assert log_of(s3, job, 1) == b"the column is empty\n"
    (name,) = on_cluster.cluster.names("jobs")
    on_cluster.cluster.delete_pod(name)
    wait_until(lambda: not on_cluster.cluster.pods_of(name))
    allow_all(on_cluster)

    on_cluster.end_leftovers()

    assert log_of(s3, job, 1) == b"the column is empty\n"
    wait_until(lambda: nothing_is_left(on_cluster))


# The link to the data


def test_the_link_outlives_the_wait_for_room(
    on_cluster: KubernetesService,
) -> None:
    """A link that has expired would be the data's fault, so permanent."""
    given = {
        "ANALYSIS_PENDING_TIMEOUT_SECONDS": "700",
        "ANALYSIS_START_PATIENCE_SECONDS": "50",
        "MATRIX_PROFILE_TIMEOUT_SECONDS": "1000",
    }
    with environment(given):
        name = evicted(on_cluster)

    secret = on_cluster.cluster.store.get(("secrets", NAMESPACE, name))
    link = base64.b64decode(secret["data"]["FILE_URL"]).decode()
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["1750"]
