"""No secret of the whole stack gets anywhere, whatever happens on it.

All flows of the demo, then the same with peers that fail; the passwords have
signs that every encoding changes. What the service sends to each peer goes
through a proxy that keeps it. Once as runs are by default, once with the fast
path, whose processes have logs, a table and a notion of a run of their own.
"""

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet

from moderate.local import install
from moderate.local.demo import Demo, datasets, trust
from moderate.local.demo.runs import Runs
from moderate.local.memory import remember
from moderate.local.ports import free_port
from moderate.local.realm import SECRET_NAMES
from moderate.local.services.s3 import ASSETS_BUCKET
from moderate.local.stack import (
    INBOX_DATABASE,
    OWN_SECRETS,
    PORT_NAMES,
    Stack,
)
from moderate_tests import canary
from moderate_tests.conftest import require
from moderate_tests.e2e.waiting import wait_until
from moderate_tests.e2e.webserver import WebserverUI
from moderate_tests.integration.flows import planting
from moderate_tests.unit.dataservices.helpers import PEOPLE

pytestmark = [
    pytest.mark.services,
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.timeout(1800),
]

ODD = "c@nary/of+{}=%41&é"
ODD_ASCII = ODD.removesuffix("é")
ODD_SECRETS = (
    "keycloak_admin_password",
    "workflows_password",
    "s3_secret_key",
)
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.2
TRUSTED_JOB = "anonymise_pseudonymise_structured_job_s3"
TAKEN = "SELECT count(*) FROM warm_run WHERE claimed_at IS NOT NULL"


@dataclass
class Watcher:
    """Keeps what processes show, as long as it looks."""

    root: Path
    command_lines: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.command_lines.update(t for _, t in canary.command_lines())
            self.environments.update(
                t for _, t in canary.environments_below(self.root)
            )

    @contextmanager
    def looking(self) -> Iterator[None]:
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


@pytest.fixture
def root() -> Iterator[Path]:
    require(install.POSTGRES, install.RABBITMQ, install.JAVA, install.MAVEN)
    require(install.GIT_LFS)
    # Not below pytest's own folder: that is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="moderate-canary-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Stage:
    """The stack, with its canaries."""

    stack: Stack
    planted: planting.Planted
    key: str
    fast: bool

    @property
    def runs(self) -> Runs:
        return Runs(self.stack.webserver.url)

    def run(self, job: str, config: Mapping[str, Any] | None = None) -> str:
        """Start a job as a click does; return how it ended."""
        run_id = self.runs.launch(job, config)
        return wait_until(
            lambda: self.runs.ended(run_id),
            f"{job} is over",
            within=PATIENCE_SECONDS,
        )

    def faults(self, part: str, **faults: Any) -> None:
        """Have an emulator fail."""
        url = {
            "platform": self.stack.platform_api.url,
            "catalogue": self.stack.open_metadata.url,
        }[part]
        answer = httpx.put(f"{url}/_emulator/faults", json=faults, timeout=60)
        answer.raise_for_status()

    def ledger(self, url: str) -> list[canary.Text]:
        answer = httpx.get(f"{url}/_emulator/ledger", timeout=60)
        return [("all", answer.raise_for_status().text)]


def chosen_secrets() -> dict[str, str]:
    """Return all secrets of a stack, some with odd signs."""
    names = (*OWN_SECRETS, *SECRET_NAMES)
    odd = {name: ODD.format(name) for name in ODD_SECRETS}
    # RabbitMQ reads its file as Latin-1.
    odd["rabbitmq_password"] = ODD_ASCII.format("rabbitmq_password")
    return {**{name: secrets.token_urlsafe() for name in names}, **odd}


@pytest.fixture(params=[False, True], ids=["default", "fast path"])
def stage(root: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    fast: bool = request.param
    remember(root / "secrets.json", chosen_secrets())
    ports = {name: free_port() for name in PORT_NAMES}
    key = Fernet.generate_key().decode()
    # Once to learn what its settings will be; it is not started.
    settings = Stack(root, ports=ports, durable=False, fast=fast).env
    with ExitStack() as opened:
        planted = opened.enter_context(
            planting.planted(
                {**settings, **datasets.settings(root)}, key, root
            )
        )
        changed = {
            name: value
            for name, value in planted.environment.items()
            if settings.get(name) != value
        }
        stack = Stack(
            root,
            ports=ports,
            durable=False,
            emulator={
                **trust.EMULATOR,
                "EMULATOR_CONTROL": "true",
                "EMULATOR_JOB_DEBOUNCE_SECONDS": "0",
            },
            environment={**trust.SETTINGS, **changed},
            fast=fast,
        )
        opened.enter_context(stack)
        yield Stage(stack, planted, key, fast)


def go_well(stage: Stage) -> None:
    """Drive all flows, as the demo does, and what it leaves out."""
    ui = WebserverUI(stage.stack.webserver.url)
    for sensor in ("alert_dead_items_sensor", "alert_failed_runs_sensor"):
        ui.start_sensor(sensor)
    Demo(stage.stack, lambda _: None).run()
    stage.stack.s3.client().put_object(
        Bucket=ASSETS_BUCKET, Key="people/in.csv", Body=PEOPLE.encode()
    )
    assert stage.run(TRUSTED_JOB, planting.pseudonymise("people")) == "SUCCESS"
    assert stage.run("housekeeping_job") == "SUCCESS"


def go_badly(stage: Stage) -> None:
    """Have peers refuse and break, and drive what meets them."""
    for status in (401, 403, 500):
        stage.faults("platform", routes=[{"prefix": "/", "status": status}])
        assert stage.run(f"{datasets.DATASET.name}_job") == "FAILURE"
    stage.faults("platform")
    force = {"ops": {"find_postgres_databases": {"config": {"force": True}}}}
    for faults in (
        {"expired_token": True},
        {"routes": [{"prefix": "/api/v1/tables", "status": 500}]},
    ):
        stage.faults("catalogue", **faults)
        assert stage.run("postgres_ingestion_job", force) == "FAILURE"
    stage.faults("catalogue")
    stage.planted.vault.answer = planting.refuses
    assert stage.run(TRUSTED_JOB, planting.pseudonymise("people")) == "FAILURE"
    wait_until(
        lambda: bool(stage.planted.hook.seen),
        "the webhook was told",
        within=PATIENCE_SECONDS,
    )


def assert_the_fast_path_was_taken(stack: Stack) -> None:
    """Its traces are among what is searched."""
    for part in (stack.worker, stack.intake):
        log = stack.root / "logs" / f"{part.name}.log"
        assert log.stat().st_size, f"{part.name} has said something"
    url = stack.postgres.url(INBOX_DATABASE)
    with psycopg.connect(url) as conn:
        (taken,) = conn.execute(TAKEN).fetchone() or (0,)
    assert taken, "a worker took a run"


def test_no_secret_of_the_stack_gets_anywhere(
    stage: Stage, root: Path, summary: Callable[[str], None]
) -> None:
    watcher = Watcher(root / "analyses")
    with watcher.looking():
        go_well(stage)
        go_badly(stage)
    stack = stage.stack
    if stage.fast:
        assert_the_fast_path_was_taken(stack)
    sweep = stage.planted.sweep(stage.key)
    given = [  # What the servers themselves are started with.
        root / "secrets.json",
        root / "rabbitmq" / "rabbitmq.conf",
        root / "keycloak" / "home" / "data" / "import",
        root / "postgres" / "data",  # Its rows are read, below.
    ]
    sweep.look("all files of the stack", canary.files(root, but=given))
    sweep.look("Postgres", canary.postgres(stack.postgres.url("postgres")))
    sweep.look("buckets", canary.buckets(stack.s3.client()))
    sweep.look(
        "command lines", [("process", t) for t in watcher.command_lines]
    )
    sweep.look(
        "environments of analyses",
        [("process", t) for t in watcher.environments],
        owned=("S3_SECRET_ACCESS_KEY", canary.LINK),
    )
    for emulator in (stack.platform_api, stack.open_metadata):
        sweep.look(f"ledger of {emulator.name}", stage.ledger(emulator.url))
    heard = {peer: list(texts) for peer, texts in stage.planted.heard()}
    for peer, texts in heard.items():
        sweep.look(f"sent to {peer}", texts, owned=planting.OWNED[peer])
    ((_, told),) = heard["OPEN_METADATA_HOST"]
    assert "databaseServices" in told, "it was told how to connect"
    assert "/tables/bulk" in told, "the processes of the steps are heard, too"
    path = " with the fast path" if stage.fast else ""
    summary(sweep.summary(f"the whole stack{path}"))
    assert not sweep.leaks
    assert not sweep.empty_places, "what is empty proves nothing"
