"""What counts as written is what an answer names, and nothing else."""

from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from moderate.clients.open_metadata import RENEWAL
from moderate.flows.metadata_ingestion.account import REFUSED, Account
from moderate.flows.metadata_ingestion.plan import WHOLE, table
from moderate.flows.metadata_ingestion.task import (
    Limits,
    Logs,
    PostgresPlace,
    Server,
    Task,
)
from moderate.inbox.metadata_sources import Flow, Source, Step
from moderate.settings import LogFormat

pytestmark = pytest.mark.usefixtures("framework")

A, B = table("sales", "a"), table("sales", "b.c")
FQN_A, FQN_B = "svc.shop.sales.a", 'svc.shop.sales."b.c"'


def _task() -> Task:
    return Task(
        step=Step.METADATA,
        source=Source(Flow.POSTGRES, "shop", "shop_1", "svc"),
        server=Server("http://h/api", SecretStr("token-of-the-bot")),
        place=PostgresPlace("h", 1, "u", SecretStr("password"), "prefer"),
        limits=Limits(1, 1, 1),
        logs=Logs(LogFormat.JSON, "INFO"),
        changed=(WHOLE, A, B),
    )


def _answer(
    success: tuple[str, ...] = (), failed: tuple[object, ...] = ()
) -> SimpleNamespace:
    return SimpleNamespace(
        successRequest=[
            SimpleNamespace(request=fqn, status=200) for fqn in success
        ],
        failedRequest=[
            SimpleNamespace(request=request, message="no such column")
            for request in failed
        ],
    )


def test_what_no_answer_names_has_failed() -> None:
    account = Account(_task())
    account.bulk(_answer(success=("svc.shop", FQN_A)))
    outcome = account.outcome()
    assert set(outcome.written) == {WHOLE, A}
    assert [name for name, _ in outcome.failed] == [FQN_B]
    assert outcome.error is None


def test_a_partial_failure_names_its_row_and_the_reason() -> None:
    account = Account(_task())
    row = {"name": "b.c", "databaseSchema": "svc.shop.sales"}
    account.bulk(_answer(success=("svc.shop", FQN_A), failed=(row,)))
    assert account.outcome().failed == ((FQN_B, "no such column"),)


def test_a_table_that_was_written_and_then_failed_is_not_done() -> None:
    account = Account(_task())
    account.bulk(_answer(success=("svc.shop", FQN_A, FQN_B)))
    account.said(
        [SimpleNamespace(name="keys", error=f"Failed to patch {FQN_A}")]
    )
    outcome = account.outcome()
    assert A not in outcome.written
    assert outcome.error is None


def test_a_failure_of_nobody_knows_what_fails_the_step() -> None:
    account = Account(_task())
    account.bulk(_answer(success=("svc.shop", FQN_A, FQN_B)))
    account.said([SimpleNamespace(name="Tags", error="no such policy")])
    assert "no such policy" in str(account.outcome().error)


def test_a_refused_token_is_told_by_its_variable() -> None:
    account = Account(_task())
    refusal = SimpleNamespace(status_code=401)
    account.requested("GET", "/tables", refusal)
    assert account.outcome().error == REFUSED
    assert RENEWAL in REFUSED


def test_a_request_that_failed_is_the_reason_of_what_was_in_it() -> None:
    account = Account(_task())
    account.requested("PUT", "/tables/bulk?async=false", OSError("refused"))
    outcome = account.outcome()
    assert outcome.error is None
    assert outcome.failed[1] == (FQN_B, "PUT /tables/bulk: refused")
    assert outcome.requests == 1


def test_secrets_of_a_task_are_not_shown() -> None:
    text = repr(_task())
    assert "token-of-the-bot" not in text
    assert "password'" not in text
