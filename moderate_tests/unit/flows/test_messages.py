"""Any body is either a job or kept with its reason; none breaks the rest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.flows.matrix_profile.messages import (
    MAX_BYTES,
    ImageRule,
    plan,
    request_of,
)
from moderate.inbox.model import State

RULE = ImageRule("registry/matrix", "1.0", allowed=("registry/matrix:1.*",))
RECORDED = (
    b'{"workflow_job_id": 1, "analysis_variable": "a", "bucket": "moderate",'
    b' "key": "alice-assets/my-file-1-53d2df4e.csv"}'
)
"""As the platform API publishes it."""


def message(**changes: object) -> bytes:
    return json.dumps({**json.loads(RECORDED), **changes}).encode()


def test_the_recorded_message_becomes_a_pending_item() -> None:
    planned = plan([RECORDED], RULE)
    (item,) = planned.items
    assert (item.key, item.state) == ("1", State.PENDING)
    assert item.payload == json.loads(RECORDED)
    assert not planned.rejected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "valid dictionary"),
        (b"[1]", "valid dictionary"),
        (b"[" * 60_000, "nested too deeply"),
        (b" " * (MAX_BYTES + 1), "bytes, more than"),
        (message(workflow_job_id="1"), "workflow_job_id"),
        (message(workflow_job_id=True), "workflow_job_id"),
        (message(workflow_job_id=2**31), "workflow_job_id"),
        (message(workflow_job_id=0), "workflow_job_id"),
        (message(key=None), "key"),
        (message(key=""), "key"),
        (message(key="a\0b"), "key"),
        (message(analysis_variable="\ud800"), "analysis_variable"),
        (message(bucket=["a"]), "bucket"),
        (message(image="evil/image"), "evil/image:1.0 is not allowed"),
        (message(tag="2.0"), "registry/matrix:2.0 is not allowed"),
        (message(key="a\nb"), "key"),
        (message(image=""), "image"),
        (message(image="registry/matrix:1.0/evil", tag="1"), "image"),
        (message(image="registry/matrix:1.0@evil", tag="1"), "image"),
        (message(tag="1.0@sha256"), "tag"),
        (message(tag="1.0 --privileged"), "tag"),
    ],
)
def test_what_can_not_be_a_job_is_kept_with_its_reason(
    body: bytes, reason: str
) -> None:
    planned = plan([body, RECORDED], RULE)
    bad, good = planned.items
    assert (bad.state, good.state) == (State.DEAD, State.PENDING)
    assert bad.error
    assert reason in bad.error
    (rejected,) = planned.rejected
    assert rejected.body == body


def test_an_allowed_image_may_be_asked_for() -> None:
    (item,) = plan([message(tag="1.7")], RULE).items
    assert item.state == State.PENDING


def test_an_image_that_is_not_allowed_can_be_tried_again_once_it_is() -> None:
    body = message(tag="2.0")
    (item,) = plan([body], RULE).items
    assert item.state == State.DEAD
    wider = ImageRule(RULE.image, RULE.tag, ("registry/matrix:2.0",))
    request = request_of(item.payload)
    assert wider.resolve(request) == "registry/matrix:2.0"


@pytest.mark.parametrize(
    "name", ["\ufefftime", "P\u00a0in\u00a0kW", "\u6e29\u5ea6", "\u200b"]
)
def test_odd_column_names_are_names(name: str) -> None:
    """As spreadsheets write them; the user can't change what is there."""
    (item,) = plan([message(analysis_variable=name)], RULE).items
    assert item.state == State.PENDING


def test_a_rejected_message_that_names_a_job_is_that_jobs_item() -> None:
    """So that the platform can be told; otherwise the job stays open."""
    (item,) = plan([message(key=None)], RULE).items
    assert item.key == "1"
    assert item.payload["workflow_job_id"] == 1


@given(st.lists(st.binary(max_size=200)))
def test_no_body_breaks_the_plan(bodies: list[bytes]) -> None:
    planned = plan([*bodies, RECORDED], RULE)
    assert len(planned.items) == len(bodies) + 1
    assert planned.items[-1].state == State.PENDING


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("workflow_job_id", "analysis_variable", "bucket", "key", "image"),
            _JSON,
        ),
    )
)
def test_every_payload_can_be_stored_as_jsonb(document: object) -> None:
    """Postgres refuses NUL and lone surrogates in jsonb."""
    (item,) = plan([json.dumps(document).encode()], RULE).items
    texts = [str(value) for value in item.payload.values()]
    texts.append(item.error or "")
    for text in texts:
        assert "\0" not in text
        text.encode()  # a lone surrogate would refuse
