"""Jobs: one in ten seconds, announced once, ended by the last word."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.matching import differences
from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer
from moderate_tests.contract.platform_api.scene import Scene

OUTCOME = {
    "workflow_job_id": 1,
    "error": None,
    "error_logs_key": None,
    "output_bucket": "moderate-output-bucket",
    "output_key": "matrixprofile-x.html",
}


def job_body(scene: Scene) -> dict[str, Any]:
    arguments = {
        "uploaded_s3_object_id": scene["object"],
        "analysis_variable": "a",
    }
    return {"job_type": "matrix_profile", "arguments": arguments}


@dataclass(frozen=True)
class Posted:
    """What was answered before any test could change the job.

    Attributes:
        job: The answer to the post.
        read: The job as it was then read.
        again: The answer to a second post at once.
    """

    job: Any
    read: Any
    again: httpx.Response


@pytest.fixture(scope="module")
def posted(peer: Peer, scene: Scene) -> Posted:
    """The owner's job, just posted."""
    job = peer.post(OWNER, "/job", json=job_body(scene))
    again = peer.ask(OWNER, "POST", "/job", json=job_body(scene))
    return Posted(job, peer.get(ADMIN, f"/job/{job['id']}"), again)


@pytest.fixture(scope="module")
def job(posted: Posted) -> Any:
    """The owner's job."""
    return posted.job


def patch(peer: Peer, job: Any, body: dict[str, Any]) -> Any:
    return peer.ask(ADMIN, "PATCH", f"/job/{job['id']}", json=body)


@covers("job.create", "job.read", "job.create.debounced")
def test_a_job_is_open_until_it_is_told_otherwise(
    posted: Posted, scene: Scene
) -> None:
    expected = job_body(scene) | {
        "id": "<int>",
        "results": None,
        "created_at": "<time>",
        "finalised_at": None,
        "creator_username": scene["owner"],
        "extended_results": None,
    }
    assert not list(differences(expected, posted.job))
    assert posted.read == posted.job
    assert posted.again.status_code == 400
    assert posted.again.json() == {
        "detail": "Not allowed to create job. Please try again later."
    }


@covers("job.create.admin", "job.list.as_admin")
def test_an_admin_may_use_any_object_but_lists_own_jobs_only(
    peer: Peer, scene: Scene, job: Any
) -> None:
    peer.need(ADMIN, OWNER)
    made = peer.post(ADMIN, "/job", json=job_body(scene))

    listed = peer.ask(ADMIN, "GET", "/job")

    ids = [one["id"] for one in listed.json()]
    assert made["id"] in ids
    assert job["id"] not in ids
    # The count is that of everybody's jobs.
    assert int(listed.headers["x-total-count"]) > len(ids)


@covers("job.list", "job.list.by_type")
def test_the_owner_lists_own_jobs(peer: Peer, job: Any) -> None:
    query = {
        "sorts": json.dumps([["created_at", "desc"]]),
        "filters": json.dumps([["job_type", "eq", "matrix_profile"]]),
        "limit": "2",
    }

    listed = peer.get(OWNER, "/job", params=query)

    assert job["id"] in [one["id"] for one in listed]
    assert not list(differences("<each:job>", listed))


@covers("job.read.not_owner")
def test_somebody_elses_job_is_not_found(peer: Peer, job: Any) -> None:
    peer.need("other", OWNER)
    answer = peer.ask("other", "GET", f"/job/{job['id']}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


@covers("job.patch.as_owner")
def test_the_owner_may_not_end_a_job(peer: Peer, job: Any) -> None:
    peer.need(OWNER, ADMIN)
    path = f"/job/{job['id']}"
    answer = peer.ask(OWNER, "PATCH", path, json={"results": {"x": 1}})
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Forbidden"}


@covers("job.patch", "job.patch.again", "job.read.extended")
def test_the_last_word_on_a_job_wins_without_complaint(
    peer: Peer, job: Any
) -> None:
    first = patch(peer, job, {"results": OUTCOME}).json()
    assert not list(
        differences(
            job | {"results": OUTCOME, "finalised_at": "<time>"}, first
        )
    )
    extended = peer.get(
        ADMIN, f"/job/{job['id']}", params={"with_extended_results": "1"}
    )["extended_results"]
    assert OUTCOME["output_key"] in extended["download_url"]

    second = patch(peer, job, {"results": {"error": "second"}}).json()

    # Replaced as a whole, not merged.
    assert second["results"] == {"error": "second"}
    assert second["finalised_at"] > first["finalised_at"]


@covers("job.patch.finalised_naive", "job.patch.finalised_aware")
def test_the_end_of_a_job_is_a_time_without_zone(peer: Peer, job: Any) -> None:
    naive = {"results": {}, "finalised_at": "2026-01-01T00:00:00"}
    aware = {"results": {}, "finalised_at": "2026-01-01T00:00:00Z"}

    assert patch(peer, job, naive).json()["finalised_at"] == (
        "2026-01-01T00:00:00"
    )
    refused = patch(peer, job, aware)
    assert refused.status_code == 500
    assert refused.json() == {"message": "Database operation error"}
