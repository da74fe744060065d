"""The platform API's answers, as recorded, and what they mean to us."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moderate.clients.errors import CredentialsRejected, UnreadableAnswer
from moderate.clients.http import (
    HttpPermanentError,
    HttpTemporaryError,
)
from moderate.clients.platform_api import (
    JOB_DEBOUNCE,
    DidExists,
    JobResults,
    PlatformApi,
    ProofExists,
    TaskStarted,
    TaskState,
)
from moderate_tests.unit.clients.gateway import (
    ADMINS_ONLY,
    CALLS,
    FORBIDDEN,
    JOB,
    MAYBE_NONE,
    NO_ROLE,
    NO_ROUTE,
    NOT_FOUND,
    OBJECT,
    TASK,
    Call,
    Gateway,
)
from moderate_tests.unit.clients.peer import Reply

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)

# What a refusal means


@every_call
def test_an_unknown_route_is_no_missing_thing(
    gateway: Gateway, api: PlatformApi, call: Call
) -> None:
    """With a wrong base URL every job would seem not to exist."""
    gateway.replies(NO_ROUTE)
    with pytest.raises(HttpTemporaryError, match="API_BASE_URL"):
        call(api)


@every_call
def test_an_account_without_its_role_kills_no_item(
    gateway: Gateway, api: PlatformApi, call: Call
) -> None:
    gateway.replies(NO_ROLE)
    with pytest.raises(CredentialsRejected, match="role"):
        call(api)


@pytest.mark.parametrize("name", CALLS)
def test_the_apis_own_403_is_about_the_thing_unless_only_admins_may(
    gateway: Gateway, api: PlatformApi, name: str
) -> None:
    gateway.replies(FORBIDDEN)
    kind = CredentialsRejected if name in ADMINS_ONLY else HttpPermanentError
    with pytest.raises(kind):
        CALLS[name](api)


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_thing_is_none_where_that_is_an_answer(
    gateway: Gateway, api: PlatformApi, name: str
) -> None:
    gateway.replies(NOT_FOUND)
    if name in MAYBE_NONE:
        assert CALLS[name](api) is None
        return
    with pytest.raises(HttpPermanentError) as caught:
        CALLS[name](api)
    assert caught.value.status == 404


@pytest.mark.parametrize("name", CALLS)
def test_a_conflict_over_a_did_or_proof_is_temporary(
    gateway: Gateway, api: PlatformApi, name: str
) -> None:
    """Of parallel first requests for one user some are answered 409."""
    gateway.replies(Reply(409, {"message": "Database operation error"}))
    trust = name in {"request_did", "request_proof"}
    with pytest.raises(HttpTemporaryError if trust else HttpPermanentError):
        CALLS[name](api)


@every_call
@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, text="<html>maintenance</html>"),
        Reply(200, {"unexpected": "canary"}),
        Reply(200, ["canary"]),
        Reply(200, None),
    ],
)
def test_an_answer_out_of_contract_is_temporary_and_not_quoted(
    gateway: Gateway, api: PlatformApi, call: Call, reply: Reply
) -> None:
    gateway.replies(reply)
    with pytest.raises(UnreadableAnswer) as caught:
        call(api)
    assert "canary" not in str(caught.value)


# Jobs


def test_a_job_is_read_and_its_times_are_utc(
    gateway: Gateway, api: PlatformApi
) -> None:
    gateway.replies(Reply(200, {**JOB, "new_field": 1}))
    job = api.get_job(1)
    assert job
    assert (job.id, job.creator_username) == (1, "alice")
    assert (job.object_id, job.analysis_variable) == (7, "a")
    assert job.created_at == datetime(
        2026, 11, 21, 8, 19, 42, 549580, tzinfo=UTC
    )
    assert job.finalised_at is None
    assert gateway.asked[0].path == "/job/1"


@pytest.mark.parametrize(
    "arguments",
    [None, {}, {"uploaded_s3_object_id": "x", "analysis_variable": [1]}],
)
def test_a_job_with_other_arguments_is_still_a_job(
    gateway: Gateway, api: PlatformApi, arguments: Any
) -> None:
    """One of them would stop a walk over all jobs."""
    gateway.replies(Reply(200, {**JOB, "arguments": arguments}))
    job = api.get_job(1)
    assert job
    assert (job.object_id, job.analysis_variable) == (None, None)


def test_the_final_word_is_sent_whole_and_without_a_time(
    gateway: Gateway, api: PlatformApi
) -> None:
    results = JobResults(
        workflow_job_id=1, output_bucket="out", output_key="k.html"
    )
    gateway.replies(
        Reply(200, {**JOB, "finalised_at": "2026-11-21T08:19:45.192297"})
    )
    job = api.finalise_job(1, results)
    assert job.finalised_at
    [patch] = gateway.asked
    assert (patch.method, patch.path) == ("PATCH", "/job/1")
    assert patch.json() == {
        "results": {
            "workflow_job_id": 1,
            "error": None,
            "error_logs_key": None,
            "output_bucket": "out",
            "output_key": "k.html",
        }
    }


def test_jobs_are_counted_by_the_lists_header(
    gateway: Gateway, api: PlatformApi
) -> None:
    gateway.replies(Reply(200, [JOB], headers={"x-total-count": "4711"}))
    assert api.count_jobs() == 4711
    [asked] = gateway.asked
    assert (asked.path, asked.query) == ("/job", {"limit": ["1"]})


@pytest.mark.parametrize("count", ["", "-1", "many", "٣"])
def test_a_count_that_is_none_is_temporary(
    gateway: Gateway, api: PlatformApi, count: str
) -> None:
    header = {"x-total-count": count.encode().decode("latin-1")}
    gateway.replies(Reply(200, [], headers=header))
    with pytest.raises(UnreadableAnswer, match="X-Total-Count"):
        api.count_jobs()


def test_a_job_is_posted(gateway: Gateway, api: PlatformApi) -> None:
    gateway.replies(Reply(200, JOB))
    assert api.create_job("matrix_profile", 7, "a").id == 1
    assert gateway.asked[0].json() == {
        "job_type": "matrix_profile",
        "arguments": {"uploaded_s3_object_id": 7, "analysis_variable": "a"},
    }


def test_a_job_posted_too_soon_is_temporary(
    gateway: Gateway, api: PlatformApi
) -> None:
    said = "Not allowed to create job. Please try again later."
    gateway.replies(Reply(400, {"detail": said}))
    with pytest.raises(HttpTemporaryError) as caught:
        api.create_job("matrix_profile", 7, "a")
    assert caught.value.delay == JOB_DEBOUNCE


def test_a_job_with_bad_arguments_is_permanent(
    gateway: Gateway, api: PlatformApi
) -> None:
    gateway.replies(Reply(400, {"detail": "Invalid arguments for job type."}))
    with pytest.raises(HttpPermanentError, match="Invalid arguments"):
        api.create_job("matrix_profile", 7, "a")


# Objects and assets


def test_an_object_is_found_by_its_id(
    gateway: Gateway, api: PlatformApi
) -> None:
    gateway.replies(Reply(200, [OBJECT]), Reply(200, []))
    found = api.get_object(3)
    assert found
    assert (found.bucket, found.key) == (OBJECT["bucket"], OBJECT["key"])
    assert found.created_at.tzinfo
    assert api.get_object(4) is None
    query = gateway.asked[0].query
    assert json.loads(query["filters"][0]) == [["id", "eq", 3]]


def test_objects_without_proof_are_paged_by_key(
    gateway: Gateway, api: PlatformApi
) -> None:
    """Offsets shift when rows leave the filter; there is no default order."""
    gateway.replies(Reply(200, [OBJECT]))
    [found] = api.list_objects_without_proof(2, limit=50)
    assert found.id == 3
    query = gateway.asked[0].query
    assert json.loads(query["filters"][0]) == [
        ["proof_id", "eq", None],
        ["id", "gt", 2],
    ]
    assert json.loads(query["sorts"][0]) == [["id", "asc"]]
    assert query["limit"] == ["50"]


@pytest.mark.parametrize("source", ["bytes", "file"])
def test_a_file_is_uploaded_as_a_form_also_after_a_401(
    gateway: Gateway, api: PlatformApi, tmp_path: Path, source: str
) -> None:
    content: bytes | Path = b"t,a\n1,2\n" * 5000
    if source == "file":
        content = tmp_path / "x.csv"
        content.write_bytes(b"t,a\n1,2\n" * 5000)
    gateway.replies(Reply(200, OBJECT))
    assert (
        api.upload_object(5, "x.csv", content, tags={"git": "ü"}, name="n").id
        == 3
    )
    gateway.expire()
    api.upload_object(5, "x.csv", content, tags={"git": "ü"}, name="n")
    for sent in gateway.asked:
        assert sent.path == "/asset/5/object"
        assert sent.headers["content-type"].startswith("multipart/form-data")
        assert b'name="obj"; filename="x.csv"' in sent.body
        assert b"t,a\n1,2\n" * 5000 in sent.body
        assert json.dumps({"git": "ü"}).encode() in sent.body
    assert len(gateway.asked) == 3


def test_an_asset_with_a_uuid_of_ours_is_made_once(
    gateway: Gateway, api: PlatformApi
) -> None:
    made = {
        "uuid": "u1",
        "name": "n",
        "id": 1,
        "objects": [],
        "access_level": "private",
        "username": None,
        "created_at": "2026-11-21T08:19:19.117361",
    }
    conflict = Reply(409, {"message": "Database operation error"})
    gateway.replies(Reply(200, made), conflict)
    assert api.create_asset("n", uuid="u1").id == 1
    assert gateway.asked[0].json()["uuid"] == "u1"
    with pytest.raises(HttpPermanentError) as caught:
        api.create_asset("n", uuid="u1")
    assert caught.value.status == 409


# Trust


def test_a_did_is_there_or_in_the_making(
    gateway: Gateway, api: PlatformApi
) -> None:
    user = {
        "meta": None,
        "username": "a",
        "created_at": "2026-11-21T08:19:11.650360",
        "trust_did": "did:iota:x",
    }
    gateway.replies(
        Reply(200, {"task_id": 4, "user_meta": None}),
        Reply(200, {"task_id": None, "user_meta": user}),
    )
    assert api.request_did("ü/ x") == TaskStarted(task_id=4)
    there = api.request_did("a")
    assert isinstance(there, DidExists)
    assert there.user_meta.trust_did == "did:iota:x"
    assert gateway.asked[0].json() == {"username": "ü/ x"}


def test_a_proof_is_there_or_in_the_making(
    gateway: Gateway, api: PlatformApi
) -> None:
    gateway.replies(
        Reply(200, {"task_id": 4, "obj": None}),
        Reply(200, {"task_id": None, "obj": {**OBJECT, "proof_id": "0x4"}}),
    )
    assert api.request_proof(3) == TaskStarted(task_id=4)
    there = api.request_proof("alice-assets/p.csv")
    assert isinstance(there, ProofExists)
    assert there.obj.proof_id == "0x4"
    assert [r.json() for r in gateway.asked] == [
        {"object_key_or_id": 3},
        {"object_key_or_id": "alice-assets/p.csv"},
    ]


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        ({"task_id": None, "user_meta": None}, "request_did"),
        (
            {
                "task_id": None,
                "user_meta": {"username": "a", "trust_did": None},
            },
            "request_did",
        ),
        ({"task_id": None, "obj": OBJECT}, "request_proof"),
    ],
)
def test_neither_there_nor_in_the_making_is_unreadable(
    gateway: Gateway, api: PlatformApi, answer: Any, ask: str
) -> None:
    gateway.replies(Reply(200, answer))
    with pytest.raises(UnreadableAnswer):
        CALLS[ask](api)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, TaskState.RUNNING),
        (
            {"result": {"id": 1}, "finished_at": "2026-11-21T08:19:36.391061"},
            TaskState.SUCCEEDED,
        ),
        (
            {
                "error": "ValueError('no DID')",
                "finished_at": "2026-11-21T08:19:36.391061",
            },
            TaskState.FAILED,
        ),
    ],
)
def test_a_task_says_how_far_it_is(
    gateway: Gateway, api: PlatformApi, change: Any, state: TaskState
) -> None:
    gateway.replies(Reply(200, TASK | change))
    task = api.get_task(9)
    assert task
    assert task.state is state
    assert gateway.asked[0].path == "/user/did/task/9"
