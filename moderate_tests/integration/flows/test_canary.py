"""No secret reaches anything that is stored, shown or told to another.

The session's services have passwords of their own, which are searched for;
what is wrong on purpose is a canary with signs that encodings change. Every
sensor of the definitions is driven, so a new flow is in it by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from dagster import DagsterInstance, RunRequest, instance_for_test, materialize
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._grpc.impl import get_external_sensor_execution
from dagster._serdes import serialize_value

from moderate.cli import cli
from moderate.definitions import build_defs
from moderate.flows.datasets.sources import DATASETS
from moderate.flows.user_dids.assets import keycloak_users_count
from moderate.inbox import database
from moderate.local import install
from moderate.local.demo.datasets import FILES
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.platform_api import PlatformApi
from moderate.local.services.s3 import ASSETS_BUCKET, S3
from moderate.logs import configure_logging
from moderate.resources import KeycloakResource, redactor
from moderate.settings import LogFormat
from moderate_tests import canary
from moderate_tests.conftest import require
from moderate_tests.integration.flows.git_origin import Origin
from moderate_tests.integration.flows.planting import (
    OWNED,
    Planted,
    planted,
    pseudonymise,
)
from moderate_tests.integration.flows.platform import (
    AsUser,
    Service,
    environment,
)
from moderate_tests.integration.flows.waiting import meanwhile
from moderate_tests.unit.dataservices.helpers import PEOPLE

pytestmark = [
    pytest.mark.services,
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("stand_in_analysis"),
]

BREAKABLE = (
    "API_PASSWORD",
    "KEYCLOAK_ADMIN_PASSWORD",
    "NOTIFY_WEBHOOK_URL",
    "POSTGRES_PASSWORD",
    "RABBIT_URL",
    "S3_SECRET_ACCESS_KEY",
    "VAULT_TOKEN",
)
DATASET = DATASETS[0].name
PEOPLE_JOB = "anonymise_pseudonymise_structured_job_s3"
LOOK = {
    "ops": {
        "inbox_admin": {
            "config": {"item_id": 1, "who": "anna", "why": "a look"}
        }
    }
}
COMMANDS = (
    ("settings",),
    ("doctor",),
    ("doctor", "--json"),
    ("status", "--json"),
    ("inbox", "ls"),
    ("inbox", "show", "1"),
)

TRACES = (
    "tell-all",
    "STEP_FAILURE",
    "check API_BASE_URL",
    "KEYCLOAK_ADMIN_PASSWORD",
    "password authentication failed",
    "the vault said Forbidden",
    "did:",
)
"""Of each success and each failure."""


def evaluate(
    instance: DagsterInstance,
    sensor: str,
    number: int,
    cursor: str | None = None,
) -> Any:
    """Let a sensor tick as in the code server; return what is kept of it."""
    return get_external_sensor_execution(
        build_defs().get_repository_def(),
        RegisteredCodeLocationOrigin("moderate"),
        instance.get_ref(),
        sensor,
        None,
        None,
        cursor,
        [sensor, "tick", str(number)],
        None,
    )


def hear_all(lines: StringIO) -> None:
    """Have all log lines, as a process with these settings writes them."""
    configure_logging(LogFormat.JSON, "DEBUG", redactor(), lines)


class Stage:
    """Lets all that can go well or wrong do so, and keeps what is shown."""

    def __init__(
        self, service: Service, planted: Planted, lines: StringIO
    ) -> None:
        self.service = service
        self.planted = planted
        self.lines = lines
        self.kept: list[canary.Text] = []
        self._ticks = 0
        self._cursors: dict[str, str | None] = {}

    def tick_all(self) -> None:
        """Let each sensor tick, and carry out the runs it asks for."""
        sensors = build_defs().get_repository_def().sensor_defs
        for each in sensors:
            self._ticks += 1
            data = evaluate(
                self.service.instance,
                each.name,
                self._ticks,
                self._cursors.get(each.name),
            )
            self.kept.append((each.name, serialize_value(data)))
            if isinstance(data, SensorExecutionData):
                self._cursors[each.name] = data.cursor
                for request in data.run_requests or ():
                    self._carry_out(request)

    def _carry_out(self, request: RunRequest) -> None:
        if request.job_name:  # Others are for the daemon's own.
            self.service.execute(request)

    def run(self, job: str, config: Mapping[str, Any] | None = None) -> bool:
        """Run a job as a click would; return whether it went well."""
        result = (
            build_defs()
            .resolve_job_def(job)
            .execute_in_process(
                run_config=dict(config or {}),
                instance=self.service.instance,
                raise_on_error=False,
            )
        )
        return result.success

    def count_users(self) -> bool:
        """Materialise the asset that counts Keycloak's users."""
        result = materialize(
            [keycloak_users_count],
            instance=self.service.instance,
            resources={"keycloak": KeycloakResource()},
            raise_on_error=False,
        )
        return result.success

    def say_all(self) -> None:
        """Ask on the command line for all that it tells."""
        for arguments in COMMANDS:
            said = CliRunner().invoke(cli, arguments)
            assert not isinstance(said.exception, TypeError), said.exception
            self.kept.append((" ".join(arguments), said.output))


@pytest.fixture
def lines(settings: dict[str, str]) -> Iterator[StringIO]:
    """All log lines of the process, down to the finest."""
    stream = StringIO()
    yield stream
    # What was set up at import stays for the other tests.
    configure_logging(LogFormat.CONSOLE, "INFO", redactor())


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    require(install.GIT_LFS)
    made = Origin(tmp_path / "git")
    made.commit(FILES)
    return made


@pytest.fixture
def plants(
    settings: dict[str, str],
    keycloak: Keycloak,
    origin: Origin,
    tmp_path: Path,
) -> Iterator[tuple[Planted, str]]:
    """The environment with its canaries, and the key of the data services."""
    key = Fernet.generate_key().decode()
    real = {
        **settings,
        **keycloak.client_environment(),
        "DATASETS_MIRRORS": f"{DATASET}={origin.url}",
        "INBOX_POOL_SIZE": "2",
    }
    with planted(real, key, tmp_path) as made:
        yield made, key


def go_well(stage: Stage, s3: S3) -> None:
    """Drive every flow to success."""
    service = stage.service
    service.post_job("fetch")
    for _ in range(3):
        stage.tick_all()
        service.let_waiting_be_due()
    s3.client().put_object(
        Bucket=ASSETS_BUCKET, Key="people/in.csv", Body=PEOPLE.encode()
    )
    assert stage.run(PEOPLE_JOB, pseudonymise("people"))
    assert stage.run(f"{DATASET}_job")
    assert stage.run("inbox_admin_job", LOOK)
    assert stage.run("housekeeping_job")
    assert stage.count_users()
    stage.say_all()


def go_wrong(stage: Stage, name: str) -> None:
    """Drive what can fail because a secret is wrong."""
    service = stage.service
    service.post_job("fetch")
    with environment(stage.planted.broken(name)):
        hear_all(stage.lines)
        stage.tick_all()
        stage.say_all()
        if name in {"S3_SECRET_ACCESS_KEY", "VAULT_TOKEN"}:
            assert not stage.run(PEOPLE_JOB, pseudonymise("people"))
        if name in {"API_PASSWORD", "POSTGRES_PASSWORD"}:
            assert not stage.run(f"{DATASET}_job")
        if name == "KEYCLOAK_ADMIN_PASSWORD":
            assert not stage.count_users()
    service.let_waiting_be_due()


def go_badly(stage: Stage) -> None:
    """Drive failures that no secret is to blame for."""
    service = stage.service
    for variable in ("tell-all", "later", "bad"):
        service.post_job(variable)
    service.publish(b"null", b"\xff", b"{")
    stage.tick_all()
    for status in (401, 403, 500):
        service.faults(routes=[{"prefix": "/", "status": status}])
        service.let_waiting_be_due()
        stage.tick_all()
    service.faults(tasks=[{"pattern": "*"}], task_seconds=0.01)
    service.let_waiting_be_due()
    stage.tick_all()
    service.patch_fails(500)
    service.post_job("report")
    stage.tick_all()
    stage.say_all()
    service.faults()


def everything(
    stage: Stage, s3: S3, platform_api: PlatformApi
) -> Iterator[tuple[str, Iterator[canary.Text]]]:
    service = stage.service
    yield "ticks and command line", iter(stage.kept)
    root = Path(service.instance.root_directory)
    yield "Dagster's storage and logs", canary.files(root)
    yield "analyses' folder", canary.files(service.work_dir)
    yield "inbox", canary.database(service.inbox.where.conninfo)
    repository = build_defs().get_repository_def()
    snapshot = serialize_value(RepositorySnap.from_def(repository))
    yield "code location", iter([("snapshot", snapshot)])
    ledger = httpx.get(f"{platform_api.url}/_emulator/ledger", timeout=60)
    yield "platform's ledger", iter([("all", ledger.text)])
    yield "buckets", canary.buckets(s3.client())
    yield "command lines", canary.command_lines()


@pytest.fixture
def stage(
    plants: tuple[Planted, str],
    platform_api: PlatformApi,
    as_user: AsUser,
    no_reports: None,
    lines: StringIO,
) -> Iterator[Stage]:
    """The service with its canaries, on an instance that keeps all."""
    made, _ = plants
    with environment(made.environment), instance_for_test() as instance:
        service = Service(instance, platform_api.url, as_user)
        service.prepare()
        hear_all(lines)
        try:
            yield Stage(service, made, lines)
        finally:
            service.close()


def test_no_secret_gets_anywhere_whatever_happens(
    stage: Stage,
    plants: tuple[Planted, str],
    s3: S3,
    platform_api: PlatformApi,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    summary: Callable[[str], None],
) -> None:
    planted, key = plants
    go_well(stage, s3)
    go_badly(stage)
    monkeypatch.setattr(database, "POOL_WAIT", timedelta(seconds=2))
    for name in BREAKABLE:
        go_wrong(stage, name)
    sweep = planted.sweep(key)
    seen = {
        place: list(texts)
        for place, texts in everything(stage, s3, platform_api)
    }
    for place, texts in seen.items():
        sweep.look(place, texts)
    shown = capfd.readouterr()
    sweep.look("log", [("all", stage.lines.getvalue())])
    sweep.look("output", [("out", shown.out), ("err", shown.err)])
    for peer, heard in planted.heard():
        # A wrong one too goes to its own peer alone.
        own = [*OWNED[peer], *(f"wrong {name}" for name in OWNED[peer])]
        sweep.look(f"sent to {peer}", heard, owned=own)
    summary(sweep.summary("all flows in one process"))
    assert not sweep.leaks
    assert not sweep.empty_places, "what is empty proves nothing"
    all_text = "\n".join(text for texts in seen.values() for _, text in texts)
    for trace in TRACES:
        assert trace in all_text, "what is searched is what happened"


def test_a_running_analysis_leaves_no_secret_in_files_or_on_command_lines(
    service: Service, settings: dict[str, str]
) -> None:
    """Its environment holds what it needs, and nothing else."""
    service.post_job("slow")
    seen: dict[str, list[canary.Text]] = {}

    def look() -> None:
        seen["files"] = list(canary.files(service.work_dir))
        seen["command lines"] = list(canary.command_lines())
        seen["environment"] = list(canary.environments_below(service.work_dir))
        service.let_analyses_go_on()

    (request,) = service.tick()
    with meanwhile(service.is_at_work, look):
        assert service.execute(request).success
    for place, trace in (
        ("files", "token"),
        ("command lines", "stand_in"),
        ("environment", "FILE_URL="),
    ):
        assert any(trace in text for _, text in seen[place])
    sweep = canary.Sweep({**canary.stand_ins(), **settings})
    sweep.look("files", seen["files"])
    sweep.look("command lines", seen["command lines"])
    needed = ("S3_SECRET_ACCESS_KEY", canary.LINK)
    sweep.look("environment", seen["environment"], owned=needed)
    assert not sweep.leaks
