"""No secret reaches anything that is stored or shown.

The session's services have passwords of their own, which are searched for;
what is wrong on purpose is a canary with signs that encodings change.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import psutil
import pytest
from dagster import DagsterInstance
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._grpc.impl import get_external_sensor_execution
from dagster._serdes import serialize_value

from moderate.definitions import build_defs
from moderate.inbox import database
from moderate.inbox.model import State
from moderate.local.services.s3 import OUTPUTS_BUCKET, S3
from moderate.logs import configure_logging
from moderate.resources import redactor
from moderate.settings import LogFormat
from moderate_tests.integration.flows import canaries
from moderate_tests.integration.flows.platform import Service, environment
from moderate_tests.integration.flows.waiting import meanwhile

pytestmark = [
    pytest.mark.services,
    pytest.mark.usefixtures("stand_in_analysis"),
]

WRONG = "c@nary/of {}:+% wrong"
SECRETS = ("POSTGRES_PASSWORD", "S3_SECRET_ACCESS_KEY", "API_PASSWORD")
UNUSED = ("OPEN_METADATA_TOKEN", "KEYCLOAK_ADMIN_PASSWORD")
OTHER_PEERS = {
    "OPEN_METADATA_HOST": "localhost",
    "KEYCLOAK_SERVER_URL": "http://localhost",
    "KEYCLOAK_ADMIN_USERNAME": "admin",
}


def wrong(name: str) -> str:
    return WRONG.format(name)


def rabbit_password(url: str) -> str:
    return urlsplit(url).password or ""


def all_secrets(settings: Mapping[str, str]) -> list[str]:
    return [
        *(settings[name] for name in SECRETS),
        rabbit_password(settings["RABBIT_URL"]),
        *(wrong(name) for name in (*SECRETS, *UNUSED, "RABBIT_URL")),
    ]


def broken(settings: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the setting of a secret with a canary in its place."""
    if name != "RABBIT_URL":
        return {name: wrong(name)}
    url = settings[name]
    canary = quote(wrong(name), safe="")
    return {name: url.replace(rabbit_password(url), canary)}


def tick(instance: DagsterInstance, sensor: str, number: int) -> str:
    """Let a sensor tick as in the code server; return what is kept of it."""
    data = get_external_sensor_execution(
        build_defs().get_repository_def(),
        RegisteredCodeLocationOrigin("moderate"),
        instance.get_ref(),
        sensor,
        None,
        None,
        None,
        [sensor, "tick", str(number)],
        None,
    )
    return serialize_value(data)


def log_files(instance: DagsterInstance) -> list[Path]:
    folder = Path(instance.root_directory)
    return [path for path in folder.rglob("tick/*") if path.is_file()]


@pytest.fixture
def lines(settings: dict[str, str]) -> Iterator[StringIO]:
    """All log lines of the process, down to the finest."""
    stream = StringIO()
    yield stream
    # What was set up at import stays for the other tests.
    configure_logging(LogFormat.CONSOLE, "INFO", redactor())


def drive(
    service: Service, settings: Mapping[str, str], lines: StringIO
) -> Iterator[str]:
    """Let all that can go well or wrong do so; yield what Dagster keeps."""
    ticks = iter(range(100))
    configure_logging(LogFormat.JSON, "DEBUG", redactor(), lines)

    def messages() -> str:
        return tick(
            service.instance, "matrix_profile_messages_sensor", next(ticks)
        )

    for variable in ("fetch", "tell-all", "later"):
        service.post_job(variable)
        yield messages()
        service.tick_and_carry_out()
    for name in (*SECRETS, "RABBIT_URL"):
        service.post_job("fetch")
        with environment(broken(settings, name)):
            configure_logging(LogFormat.JSON, "DEBUG", redactor(), lines)
            yield messages()
            yield tick(
                service.instance,
                "matrix_profile_reconcile_sensor",
                next(ticks),
            )
            if name not in {"POSTGRES_PASSWORD", "RABBIT_URL"}:
                service.tick_and_carry_out()
    service.patch_fails(500)
    service.let_waiting_be_due()
    service.tick_and_carry_out()


def everything(
    service: Service, kept: list[str], s3: S3
) -> Iterator[tuple[str, str]]:
    yield from (("tick", text) for text in kept)
    yield from canaries.texts_below(Path(service.instance.root_directory))
    yield from canaries.texts_of_inbox(service.inbox)
    repository = build_defs().get_repository_def()
    yield "repository", serialize_value(RepositorySnap.from_def(repository))
    ledger = httpx.get(f"{service.api_url}/_emulator/ledger")
    yield "platform", ledger.text
    client = s3.client()
    for each in client.list_objects_v2(Bucket=OUTPUTS_BUCKET)["Contents"]:
        body = client.get_object(Bucket=OUTPUTS_BUCKET, Key=each["Key"])
        yield each["Key"], body["Body"].read().decode()


def test_no_secret_is_kept_whatever_happens(
    stored_service: Service,
    settings: dict[str, str],
    s3: S3,
    lines: StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "POOL_WAIT", timedelta(seconds=2))
    service = stored_service
    unused = {name: wrong(name) for name in UNUSED}
    with environment({**OTHER_PEERS, **unused}):
        kept = list(drive(service, settings, lines))
        places = list(everything(service, kept, s3))
    shown = capfd.readouterr()
    places += [("log", lines.getvalue()), ("out", shown.out + shown.err)]
    text = "\n".join(text for _, text in places)
    for trace in ("tell-all", "STEP_FAILURE", "403", "check API_BASE_URL"):
        assert trace in text, "what is searched is what happened"
    search = canaries.search_for(all_secrets(settings))
    leaks = [(place, leak) for place, text in places for leak in search(text)]
    assert not leaks


def analysis_command_lines() -> Iterator[str]:
    """Yield what every user of the machine sees of analyses."""
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:  # It has just ended, or is somebody else's.
            continue
        if "analyses" in line or "stand_in" in line:
            yield line


def test_a_running_analysis_leaves_no_secret_in_files_or_on_command_lines(
    service: Service, settings: dict[str, str]
) -> None:
    service.post_job("slow")
    seen: list[str] = []

    def look() -> None:
        seen.extend(text for _, text in canaries.texts_below(service.work_dir))
        seen.extend(analysis_command_lines())
        service.let_analyses_go_on()

    (request,) = service.tick()
    with meanwhile(service.is_at_work, look):
        assert service.execute(request).success
    assert any("stand_in" in text for text in seen)
    assert any("token" in text for text in seen)
    search = canaries.search_for(all_secrets(settings))
    assert not search("\n".join(seen))


def test_a_tick_without_news_leaves_no_log_file(
    stored_service: Service,
) -> None:
    """Dagster keeps one for each tick that logs, and never removes it."""
    instance = stored_service.instance
    for number in range(2):
        tick(instance, "matrix_profile_messages_sensor", number)
        tick(instance, "matrix_profile_reconcile_sensor", number)
        tick(instance, "matrix_profile_leftovers_sensor", number)
    assert not log_files(instance)
    stored_service.publish(b"null")
    tick(instance, "matrix_profile_messages_sensor", 3)
    assert log_files(instance)
    assert stored_service.item().state == State.DEAD


@pytest.mark.parametrize("secret", ["plain", wrong("S3"), "päss+w/rd=="])
def test_the_search_finds_a_secret_in_every_spelling(secret: str) -> None:
    search = canaries.search_for([secret])
    for spelled in canaries.spellings(secret):
        assert search(f"a{spelled}b")
