"""The flow of ``docs/adding-a-flow.md``, taken out of the page and run."""

import hashlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from dagster import (
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    RunRequest,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from pydantic import SecretStr

import moderate
from moderate import flows
from moderate.clients.rabbitmq import Rabbit
from moderate.inbox import admin
from moderate.inbox.database import pool_of
from moderate.inbox.model import State, WorkItem
from moderate.inbox.store import Inbox
from moderate.kinds import all_kinds
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate.resources import (
    InboxSource,
    RabbitResource,
    S3Resource,
    inbox_address,
)
from moderate.settings import FLOW_NEEDS, load_settings
from moderate_tests.integration.flows.platform import environment
from moderate_tests.ports import CLOSED_PORT

pytestmark = pytest.mark.services

ROOT = Path(moderate.__file__).parents[1]
PAGE = ROOT / "docs" / "adding-a-flow.md"
PACKAGE = "moderate.flows.checksums"
NEEDS = ("postgres", "s3", "rabbit")
RUFF = ("ruff", "check", "--no-cache")


def blocks() -> dict[str, str]:
    """Return the page's modules by their path."""
    found = re.findall(
        r"^```python\n# (moderate/\S+\.py)\n(.*?)^```$",
        PAGE.read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return dict(found)


@dataclass(frozen=True)
class Example:
    """The flow, driven tick by tick.

    Attributes:
        instance: Dagster.
        s3: Where files are.
        key: Of this test's file.
        job: Its module.
        sensor: Its module.
    """

    instance: DagsterInstance
    s3: S3
    key: str
    job: ModuleType
    sensor: ModuleType

    @property
    def inbox(self) -> Inbox:
        settings = load_settings()
        return Inbox(inbox_address(settings), self.kinds(settings))

    def kinds(self, settings: Any) -> Sequence[Any]:
        kind = sys.modules[f"{PACKAGE}.kinds"].KIND
        return (*all_kinds(settings), kind)

    @property
    def defs(self) -> Definitions:
        return Definitions(
            jobs=[self.job.checksums_job],
            sensors=[self.sensor.checksums_sensor],
            resources={
                "inbox": InboxSource(self.kinds),
                "rabbit": RabbitResource(),
                "s3_object_storage": S3Resource(),
            },
        )

    def put(self, content: bytes = b"some bytes") -> None:
        self.s3.client().put_object(
            Bucket=ASSETS_BUCKET, Key=self.key, Body=content
        )

    def stored(self) -> bytes | None:
        client = self.s3.client()
        with suppress(client.exceptions.NoSuchKey):
            found = client.get_object(
                Bucket=ASSETS_BUCKET, Key=f"{self.key}.sha256"
            )
            return found["Body"].read()
        return None

    def announce(self, body: str | None = None) -> None:
        text = body or f'{{"key": "{self.key}"}}'
        with Rabbit(SecretStr(os.environ["RABBIT_URL"])).channel() as channel:
            channel.declare_durable(self.sensor.QUEUE)
            channel.publish_confirmed(self.sensor.QUEUE, text.encode())

    def waiting(self) -> int | None:
        with Rabbit(SecretStr(os.environ["RABBIT_URL"])).channel() as channel:
            return channel.queue_length(self.sensor.QUEUE)

    def evaluate(self) -> Any:
        defs = self.defs
        context = build_sensor_context(
            instance=self.instance,
            resources=defs.resources or {},
            sensor_name="checksums_sensor",
        )
        with context:
            return self.sensor.checksums_sensor(context)

    def tick(self) -> Sequence[RunRequest]:
        result = self.evaluate()
        assert isinstance(result, SensorResult), result
        return result.run_requests or []

    def execute(self, request: RunRequest) -> ExecuteInProcessResult:
        job = self.defs.resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags=request.tags,
        )

    def items(self) -> Mapping[str, WorkItem]:
        with self.inbox.transaction() as conn:
            found = admin.list_items(conn, kind="checksum")
        return {item.key: item for item in found}

    def item(self) -> WorkItem:
        return self.items()[self.key]

    def let_it_be_due(self) -> None:
        with self.inbox.transaction() as conn:
            conn.execute(
                b"UPDATE work_item SET next_attempt_at = clock_timestamp()"
            )


@pytest.fixture
def example(
    tmp_path: Path,
    postgres_server: Postgres,
    rabbitmq: RabbitMQ,
    s3: S3,
    empty_inbox: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Example]:
    """The page's flow, assembled as a package, with state of its own."""
    folder = tmp_path / "flows"
    for path, code in blocks().items():
        file = folder / Path(path).relative_to("moderate/flows")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    monkeypatch.setattr(flows, "__path__", [*flows.__path__, str(folder)])
    monkeypatch.setitem(FLOW_NEEDS, "checksums", NEEDS)
    database = f"example_{uuid4().hex}"
    postgres_server.create_database(database, template=empty_inbox)
    given = {
        **postgres_server.client_environment(),
        **rabbitmq.client_environment(),
        **s3.client_environment(),
        "INBOX_DATABASE": database,
    }
    with environment(given), DagsterInstance.ephemeral() as instance:
        made = Example(
            instance,
            s3,
            f"{uuid4().hex}/file.csv",
            importlib.import_module(f"{PACKAGE}.job"),
            importlib.import_module(f"{PACKAGE}.sensor"),
        )
        monkeypatch.setattr(made.sensor, "QUEUE", database)
        yield made
        where = made.inbox.where
    pool_of(where).close()
    with Rabbit(SecretStr(rabbitmq.url)).channel() as channel:
        channel.declare_durable(database)
        while batch := channel.take(database, limit=100):
            channel.ack(batch)
    for name in [n for n in sys.modules if n.startswith(PACKAGE)]:
        del sys.modules[name]
    postgres_server.drop_database(database)


DIGEST = hashlib.sha256(b"some bytes").hexdigest()


def test_the_sensor_ticks_and_its_run_does_the_work(example: Example) -> None:
    example.put()
    example.announce()
    (request,) = example.tick()
    assert example.waiting() == 0, "acknowledged once it is a row"
    assert request.tags["moderate/flow"] == "checksums"
    assert example.execute(request).success
    assert example.stored() == DIGEST.encode()
    item = example.item()
    assert item.state is State.DONE
    assert item.outcome == {"sha256": DIGEST}


def test_nothing_is_done_twice(example: Example) -> None:
    """Not by another tick, the message again, or the run again."""
    example.put()
    example.announce()
    (request,) = example.tick()
    example.execute(request)
    example.put(b"other bytes, which nobody has announced")
    assert example.tick() == []
    example.announce()
    assert example.tick() == []
    assert example.execute(request).success
    assert example.stored() == DIGEST.encode()
    assert example.item().dispatch == 1


def test_a_message_that_is_none_is_dead_and_harms_no_other(
    example: Example,
) -> None:
    example.put()
    for body in ("null", "{", '{"key": ""}'):
        example.announce(body)
    example.announce()
    (request,) = example.tick()
    example.execute(request)
    assert example.item().state is State.DONE
    dead = [i for i in example.items().values() if i.state is State.DEAD]
    assert len(dead) == 3
    assert all("not an announcement" in str(i.last_error) for i in dead)


def test_a_file_that_is_not_there_is_dead_at_once(example: Example) -> None:
    example.announce()
    (request,) = example.tick()
    assert example.execute(request).success, "an item failed, not the run"
    item = example.item()
    assert (item.state, item.failures) == (State.DEAD, 1)
    assert "PermanentError" in str(item.last_error)


def test_a_store_that_stays_away_is_dead_after_three_failures(
    example: Example,
) -> None:
    example.put()
    example.announce()
    away = {"S3_ENDPOINT_URL": f"http://127.0.0.1:{CLOSED_PORT}"}
    for failures in (1, 2, 3):
        example.let_it_be_due()
        (request,) = example.tick()
        with environment(away):
            example.execute(request)
        assert example.item().failures == failures
    assert example.item().state is State.DEAD
    example.let_it_be_due()
    assert example.tick() == []
    with example.inbox.transaction() as conn:
        item = example.item()
        assert admin.retry_item(conn, item.id, who="anna", why="it is back")
    (request,) = example.tick()
    example.execute(request)
    assert example.item().state is State.DONE
    assert example.stored() == DIGEST.encode()


def test_a_source_that_is_away_does_not_stop_what_is_due(
    example: Example,
) -> None:
    example.put()
    example.announce()
    first = example.tick()
    away = f"amqp://u:canary@127.0.0.1:{CLOSED_PORT}/"
    with environment({"RABBIT_URL": away}):
        (again,) = example.tick()
    assert again.run_key == first[0].run_key


def test_it_is_off_without_its_settings(example: Example) -> None:
    with environment({"RABBIT_URL": ""}):
        said = example.evaluate()
    assert isinstance(said, SkipReason)
    assert "flow checksums is off: set RABBIT_URL" in str(said.skip_message)


def test_the_pages_code_is_as_clean_as_our_own(
    example: Example, tmp_path: Path
) -> None:
    folder = tmp_path / "flows" / "checksums"
    config = str(ROOT / "pyproject.toml")
    for command in (
        # Which packages are ours is not seen from here.
        [*RUFF, "--config", config, "--ignore", "I001"],
        ["black", "--check", "--quiet", "--config", config],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_page_names_is_there() -> None:
    page = PAGE.read_text()
    page = page.replace("`moderate/flows/NAME/`", "")
    for path in re.findall(r"`(moderate(?:_tests)?/[\w/.]*(?:\.py|/))`", page):
        assert (ROOT / path).exists(), path
    for file, names in {
        "moderate/kinds.py": ("all_kinds",),
        "moderate/settings/loading.py": ("FLOW_NEEDS",),
        "moderate/definitions.py": ("build_defs", "inbox_jobs", "batch_jobs"),
    }.items():
        text = (ROOT / file).read_text()
        for name in names:
            assert f"`{name}`" in page
            assert name in text
    assert f'"checksums": {NEEDS}'.replace("'", '"') in page
