"""Messages, cursors, settings and names from outside are read or refused."""

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from moderate.clients import git
from moderate.clients.keycloak import KeycloakUser
from moderate.clients.platform_models import AssetObject, Job
from moderate.errors import SettingsError
from moderate.flows.asset_proofs import plan as objects
from moderate.flows.asset_proofs.kinds import asset_proof_item
from moderate.flows.matrix_profile import reconcile
from moderate.flows.matrix_profile.messages import (
    ImageRule,
    plan,
    request_of,
)
from moderate.flows.operations import alerts
from moderate.flows.platform_tasks.dids import item_of_user
from moderate.flows.user_dids import plan as users
from moderate.inbox.model import State
from moderate.inbox.storable import storable
from moderate.redaction import Redactor
from moderate.settings import GROUPS, load_settings
from moderate.watch import history
from moderate_tests.canary import secret_variables
from moderate_tests.unit.clients.gateway import JOB, OBJECT
from moderate_tests.unit.fuzz.inputs import (
    bodies,
    changed,
    ends_as_promised,
    json_values,
    texts,
)

RULE = ImageRule("registry/matrix", "1.0", allowed=("registry/matrix:1.*",))
MESSAGE = {
    "workflow_job_id": 1,
    "analysis_variable": "a",
    "bucket": "moderate",
    "key": "alice-assets/my-file.csv",
    "image": "registry/matrix",
    "tag": "1.7",
}
NOW = datetime(2026, 11, 21, tzinfo=UTC)
RULES = users.Rules(
    page_size=50,
    overlap=timedelta(minutes=5),
    reconcile_interval=timedelta(hours=1),
)


@given(st.lists(bodies(MESSAGE), max_size=5))
def test_a_message_is_a_job_or_is_kept_with_its_reason(
    messages: list[bytes],
) -> None:
    planned = plan(messages, RULE)
    assert len(planned.items) == len(messages)
    dead = [item for item in planned.items if item.state is State.DEAD]
    assert len(planned.rejected) == len(dead)
    assert all(item.error for item in dead)
    assert [r.body for r in planned.rejected] == [
        body
        for body, item in zip(messages, planned.items, strict=True)
        if item.state is State.DEAD
    ]


@given(changed(MESSAGE))
def test_the_payload_of_an_item_is_a_job_or_is_refused(payload: Any) -> None:
    ends_as_promised(lambda: request_of(payload))


@given(changed(JOB), changed(OBJECT))
def test_a_job_of_the_platform_becomes_an_item(job: Any, found: Any) -> None:
    """One that was lost, whatever its arguments and its object hold."""
    ends_as_promised(
        lambda: reconcile.item_of_lost_job(
            Job.model_validate(job), _Shelf(AssetObject.model_validate(found))
        ),
        ValidationError,
    )


class _Shelf:
    """Has one object, and no job."""

    def __init__(self, found: AssetObject) -> None:
        self._found = found

    def count_jobs(self) -> int:
        return 0

    def get_job(self, job_id: int) -> None:
        """There is none."""

    def get_object(self, object_id: int) -> AssetObject:
        return self._found


USER = {"id": "5f", "username": "a", "enabled": True, "createdTimestamp": 7}


@given(st.lists(changed(USER), max_size=3), changed(OBJECT))
def test_what_peers_list_becomes_items_that_postgres_takes(
    listed: list[Any], found: Any
) -> None:
    try:
        read = [KeycloakUser.model_validate(each) for each in listed]
        item = asset_proof_item(AssetObject.model_validate(found))
    except ValidationError:
        return
    for each in (*map(item_of_user, read), item):
        ends_as_promised(partial(storable, each))
    start = users.Position(sweep=users.Sweep(begun_at=NOW, count=3))
    users.after_page(start, read, now=NOW, rules=RULES)


CURSORS: Mapping[str, BaseModel] = {
    "users": users.Position(
        count=3,
        swept_at=NOW,
        newest=5,
        sweep=users.Sweep(begun_at=NOW, count=3, tail=("a",)),
    ),
    "objects": objects.Position(head=5, marked_at=NOW, reconciled_at=NOW),
    "jobs": reconcile.Position(next_id=4, answered=3),
    "alerts": alerts.Position(since=NOW, run_ids=["a"]),
    "numbers": history.History(),
}


@pytest.mark.parametrize("name", CURSORS)
@given(data=st.data())
def test_a_cursor_is_read_or_called_corrupt(
    name: str, data: st.DataObject
) -> None:
    """And what can be read can be gone on with, and stored again."""
    kind = type(CURSORS[name])
    stored = data.draw(changed(CURSORS[name].model_dump(mode="json")))
    try:
        value = kind.model_validate(stored)
    except ValidationError:
        return
    value.model_dump(mode="json")
    if isinstance(value, users.Position):
        look = users.Look(3)
        users.needs_sweep(value, look, now=NOW, rules=RULES)
        users.after_look(value, look, now=NOW)
        users.after_page(value, (), now=NOW, rules=RULES)
    if isinstance(value, objects.Position):
        value.at(NOW, timedelta(hours=1)).is_ripe(NOW, timedelta(minutes=1))
    if isinstance(value, reconcile.Position):
        assert value.after_found().probe > value.probe


VARIABLES = sorted(
    {name for group in GROUPS.values() for name in group.variables()}
)
SECRETS = sorted(secret_variables())
environments = st.dictionaries(
    st.sampled_from(VARIABLES),
    # An environment holds neither NUL nor, from outside Python, surrogates.
    texts.map(lambda text: text.replace("\0", "").replace("\ud800", "")),
    max_size=12,
)
SECRET = "canary-" + string.ascii_letters


@given(environments, st.sampled_from(SECRETS))
def test_an_environment_is_read_or_all_its_faults_are_told(
    environ: dict[str, str], secret: str
) -> None:
    """And a secret is not told, right or wrong."""
    try:
        told = repr(load_settings({**environ, secret: SECRET}))
    except SettingsError as error:
        told = str(error)
    assert SECRET not in told


@given(texts)
def test_a_repository_s_url_is_one_or_is_refused(text: str) -> None:
    ends_as_promised(lambda: git.check_url(text))
    ends_as_promised(lambda: git.check_url(f"https://{text}"))
    ends_as_promised(lambda: git.check_ref(text))
    git.is_match(text, "data/**/*.csv")


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:" + b"0" * 64 + b"\nsize 12\n"
)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(POINTER[:44].__add__),
        st.integers(0, len(POINTER)).map(
            lambda at: POINTER[:at] + b"9" * 500 + POINTER[at:]
        ),
        st.just(POINTER),
    )
)
def test_a_pointer_of_git_lfs_is_one_or_none_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "pointer"
    path.write_bytes(content)
    ends_as_promised(lambda: git.read_pointer(path))


@given(st.binary(max_size=80))
def test_a_path_in_a_repository_is_a_file_or_is_left_out(path: bytes) -> None:
    for mode in (b"100644 blob ", b"120000 blob ", b"160000 commit "):
        line = mode + b"0" * 40 + b"\t" + path
        entry = git._entry(line)
        assert entry is None or entry.path.isprintable()


@given(st.one_of(texts, json_values.map(str), st.binary().map(repr)))
def test_any_text_is_redacted(text: str) -> None:
    redacted = Redactor([SecretStr(SECRET)]).redact(text + SECRET + text)
    assert SECRET not in redacted
