"""The whole way of a job, a DID and a proof, against the emulator."""

from collections.abc import Iterator
from time import monotonic, sleep
from uuid import uuid4

import pytest
from pydantic import SecretStr

from moderate.clients.errors import CredentialsRejected
from moderate.clients.http import HttpPermanentError
from moderate.clients.platform_api import (
    DidExists,
    JobResults,
    PlatformApi,
    ProofExists,
    Task,
    TaskStarted,
    TaskState,
)
from moderate.local.services.platform_api import PlatformApi as Emulator

pytestmark = pytest.mark.services


def client(emulator: Emulator, **changes: str) -> PlatformApi:
    given = {**emulator.client_environment(), **changes}
    return PlatformApi(
        given["API_BASE_URL"],
        given["API_USERNAME"],
        SecretStr(given["API_PASSWORD"]),
    )


@pytest.fixture
def api(platform_api: Emulator) -> Iterator[PlatformApi]:
    with client(platform_api) as opened:
        yield opened


def finished(api: PlatformApi, started: TaskStarted) -> Task:
    until = monotonic() + 120
    while True:
        task = api.get_task(started.task_id)
        assert task
        if task.state is not TaskState.RUNNING:
            return task
        assert monotonic() < until
        sleep(0.05)


def test_a_job_is_posted_found_by_its_object_and_finalised(
    api: PlatformApi,
) -> None:
    uuid = str(uuid4())
    asset = api.create_asset("readings", uuid=uuid)
    with pytest.raises(HttpPermanentError) as caught:
        api.create_asset("readings", uuid=uuid)
    assert caught.value.status == 409
    uploaded = api.upload_object(
        asset.id, "Meter (1).csv", b"t,a\n1,2\n", tags={"from": "tests"}
    )
    before = api.count_jobs()
    job = api.create_job("matrix_profile", uploaded.id, "a")
    assert api.count_jobs() == before + 1
    assert job.object_id == uploaded.id
    found = api.get_object(uploaded.id)
    assert found
    assert (found.bucket, found.key) == (uploaded.bucket, uploaded.key)
    results = JobResults(workflow_job_id=job.id, error="out of memory")
    assert api.finalise_job(job.id, results).finalised_at
    again = api.get_job(job.id)
    assert again
    assert again.results == results.model_dump()


def test_what_is_not_there_is_none(api: PlatformApi) -> None:
    unknown = 99_999_999
    assert api.get_job(unknown) is None
    assert api.get_object(unknown) is None
    assert api.get_task(unknown) is None
    assert api.request_proof(unknown) is None
    with pytest.raises(HttpPermanentError) as caught:
        api.finalise_job(unknown, JobResults(workflow_job_id=unknown))
    assert caught.value.status == 404


def test_a_did_and_then_a_proof_are_made_and_found(api: PlatformApi) -> None:
    for username in (f"üser {uuid4()}", "workflows"):
        first = api.request_did(username)
        if isinstance(first, TaskStarted):
            assert finished(api, first).state is TaskState.SUCCEEDED
        assert isinstance(api.request_did(username), DidExists)
    asset = api.create_asset("a")
    objects = [api.upload_object(asset.id, f"{n}.csv", b"x") for n in range(3)]
    after = objects[0].id - 1
    [first_page] = api.list_objects_without_proof(after, limit=1)
    assert first_page.id == objects[0].id
    started = api.request_proof(objects[0].id)
    assert isinstance(started, TaskStarted)
    assert finished(api, started).state is TaskState.SUCCEEDED
    assert isinstance(api.request_proof(objects[0].key), ProofExists)
    rest = api.list_objects_without_proof(after)
    assert [each.id for each in rest] == [each.id for each in objects[1:]]


def test_a_wrong_password_kills_nothing(platform_api: Emulator) -> None:
    with (
        client(platform_api, API_PASSWORD="wrong-one") as api,
        pytest.raises(CredentialsRejected, match="API_PASSWORD"),
    ):
        api.get_job(1)
