"""What is said on the command line is what the UI shows, and is of use."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from moderate.cli import cli
from moderate.flows.operations.observing import operations_sensor
from moderate.kinds import all_kinds
from moderate.local.ports import free_port
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3
from moderate.watch.prometheus import ServiceCollector
from moderate_tests.integration.clients.accounts import account
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import (
    KIND,
    OTHER,
    Tick,
    Watched,
)

pytestmark = pytest.mark.services


def moderate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "250"})


def findings() -> dict[str, dict[str, str]]:
    found = json.loads(moderate("doctor", "--json").output)
    return {each["check"]: each for each in found}


def flows() -> dict[str, dict[str, Any]]:
    found = json.loads(moderate("status", "--json").output)["flows"]
    return {each["flow"]: each for each in found}


# status


def test_status_says_the_numbers_of_the_ui(watched: Watched) -> None:
    watched.record(KIND, "1", "2")
    watched.record(OTHER, "anna")
    watched.record_dead("3")
    told = flows()
    points = Tick(watched.evaluate(operations_sensor)).points
    for flow in ("matrix_profile", "user_dids", "asset_proofs"):
        point = points[f"operations/{flow}"]
        for name in ("pending", "due", "dispatched", "running", "dead"):
            assert told[flow][name] == point[name]
    assert told["matrix_profile"]["dead"] == 1


def test_status_is_a_table_for_people(watched: Watched) -> None:
    watched.record(OTHER, "anna")
    said = moderate("status")
    assert said.exit_code == 0
    assert "user_dids" in said.output
    assert "rabbitmq" in said.output


def test_status_says_that_the_inbox_is_away(watched: Watched) -> None:
    with environment({"POSTGRES_PORT": str(free_port())}):
        said = moderate("status")
    assert said.exit_code == 1
    assert "the inbox can't be read" in said.output


# doctor


def test_a_sound_installation_has_no_fault(watched: Watched) -> None:
    with watched.rabbit().channel() as channel:
        channel.declare_durable(watched.settings.matrix_profile.queue)
    said = moderate("doctor")
    assert said.exit_code == 0, said.output
    assert "0 fault(s)" in said.output
    found = findings()
    assert found["inbox schema"]["grade"] == "ok"
    assert found["inbox rights"]["grade"] == "ok"
    assert found["rabbitmq rights"]["grade"] == "ok"
    assert found["clock of postgres"]["grade"] == "ok"
    assert "RabbitMQ" in found["peer rabbitmq"]["found"]
    assert "version" in found["peer postgres"]["found"]


def test_a_daemon_that_is_away_is_a_fault(watched: Watched) -> None:
    """New events wait in their sources then: nothing else shows it."""
    assert findings()["ticks"]["grade"] == "note"
    watched.evaluate(operations_sensor)
    assert findings()["ticks"]["grade"] == "ok"
    watched.sql("UPDATE cursor SET updated_at = updated_at - interval '6 min'")
    assert findings()["ticks"]["grade"] == "fault"


def test_a_flow_that_is_off_is_no_fault_and_says_how_to_switch_it_on(
    watched: Watched,
) -> None:
    dids = findings()["flow user_dids"]
    assert dids["grade"] == "note"
    assert "KEYCLOAK_SERVER_URL" in dids["advice"]


def test_a_peer_that_is_away_is_a_fault_that_names_its_settings(
    watched: Watched,
) -> None:
    url = f"amqp://user:canary@127.0.0.1:{free_port()}/"
    with environment({"RABBIT_URL": url}):
        found = findings()["peer rabbitmq"]
        assert moderate("doctor").exit_code == 1
    assert found["grade"] == "fault"
    assert "RABBIT_URL" in found["advice"]
    assert "canary" not in str(found)


def test_a_wrong_password_is_told_from_a_peer_that_is_away(
    watched: Watched,
) -> None:
    right = os.environ["RABBIT_URL"]
    scheme, _, rest = right.partition("://")
    wrong = f"{scheme}://nobody:canary@{rest.partition('@')[2]}"
    with environment({"RABBIT_URL": wrong}):
        found = findings()["peer rabbitmq"]
    assert found["grade"] == "fault"
    assert "refuse" in found["found"].lower()
    assert "canary" not in str(found)


def test_an_old_schema_is_a_fault_that_names_the_command(
    watched: Watched,
) -> None:
    watched.sql(
        "DELETE FROM schema_version WHERE number ="
        " (SELECT max(number) FROM schema_version)"
    )
    found = findings()["inbox schema"]
    assert found["grade"] == "fault"
    assert "moderate inbox migrate" in found["advice"]


def test_a_schema_that_is_stale_is_told_apart_from_an_inbox_that_is_away(
    watched: Watched,
) -> None:
    """The alert on the one would never fire, otherwise."""
    watched.sql("DELETE FROM schema_version")
    assert gauge(watched, "moderate_schema_current") == 0
    with environment({"POSTGRES_PORT": str(free_port())}):
        assert gauge(watched, "moderate_schema_current") is None
        assert gauge(watched, "moderate_inbox_up") == 0


def gauge(watched: Watched, name: str) -> float | None:
    found = [
        sample.value
        for family in collector(watched).collect()
        for sample in family.samples
        if sample.name == name
    ]
    return found[0] if found else None


def test_a_role_that_may_not_write_is_a_fault_that_names_the_tables(
    watched: Watched,
) -> None:
    role = f"reader_{os.getpid()}_{free_port()}"
    watched.sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret-of-reader';"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    )
    reader = {
        "POSTGRES_USERNAME": role,
        "POSTGRES_PASSWORD": "secret-of-reader",
    }
    try:
        with environment(reader):
            found = findings()["inbox rights"]
    finally:
        watched.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert found["grade"] == "fault"
    assert "work_item" in found["found"]


def test_every_table_of_the_inbox_is_looked_at(watched: Watched) -> None:
    """A role may have been granted those of an earlier release only."""
    role = f"earlier_{os.getpid()}_{free_port()}"
    watched.sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret-of-earlier';"
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};"
        f"REVOKE UPDATE ON metadata_part FROM {role};"
        f"REVOKE INSERT ON schema_version FROM {role}"
    )
    earlier = {
        "POSTGRES_USERNAME": role,
        "POSTGRES_PASSWORD": "secret-of-earlier",
    }
    try:
        with environment(earlier):
            found = findings()["inbox rights"]
    finally:
        watched.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert found["grade"] == "fault"
    assert found["found"] == "the role may not write metadata_part"


def test_a_broker_s_account_that_may_not_take_messages_is_a_fault(
    watched: Watched, rabbitmq: RabbitMQ
) -> None:
    queue = watched.settings.matrix_profile.queue
    with watched.rabbit().channel() as channel:
        channel.declare_durable(queue)
    with (
        account(rabbitmq, write=".*", read="^$") as url,
        environment({"RABBIT_URL": url}),
    ):
        found = findings()
    assert found["peer rabbitmq"]["grade"] == "ok", "it can be looked at"
    assert found["rabbitmq rights"]["grade"] == "fault"
    assert f"may not read queue {queue}" in found["rabbitmq rights"]["found"]


@contextmanager
def peer_whose_clock_is_off(by: timedelta) -> Iterator[str]:
    """Answer everything with 404 and a date that is wrong."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # http.server's name
            self.send_response_only(404)
            then = datetime.now(UTC) + by
            self.send_header("Date", format_datetime(then, usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("seconds", "grade"), [(0, "ok"), (60, "fault"), (-60, "fault")]
)
def test_a_clock_that_differs_is_a_fault(
    watched: Watched, seconds: int, grade: str
) -> None:
    with peer_whose_clock_is_off(timedelta(seconds=seconds)) as url:
        given = {
            "KEYCLOAK_SERVER_URL": url,
            "KEYCLOAK_ADMIN_USERNAME": "admin",
            "KEYCLOAK_ADMIN_PASSWORD": "secret-of-admin",
        }
        with environment(given):
            found = findings()["clock of keycloak"]
    assert found["grade"] == grade
    assert grade == "ok" or "NTP" in found["advice"]


def test_a_peer_that_hangs_delays_nobody(watched: Watched) -> None:
    """It takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://u:p@127.0.0.1:{silent.getsockname()[1]}/"
        given = {"RABBIT_URL": url, "OPERATIONS_PROBE_SECONDS": "0.3"}
        with environment(given):
            peers = json.loads(moderate("status", "--json").output)["peers"]
    found = {each["peer"]: each for each in peers}
    assert found["rabbitmq"]["problem"]
    assert found["postgres"]["problem"] == ""


# metrics


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_are_the_same_numbers(watched: Watched) -> None:
    watched.record(OTHER, "anna", "ben")
    watched.record_dead("1")
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in collector(watched).collect()
        for sample in family.samples
    }
    for flow, numbers in flows().items():
        if not numbers["has_items"]:
            continue
        for state in ("pending", "due", "dispatched", "running", "dead"):
            labels = frozenset({("flow", flow), ("state", state)})
            assert found["moderate_items", labels] == numbers[state]
    up = found["moderate_peer_up", frozenset({("peer", "rabbitmq")})]
    assert up == 1


def collector(watched: Watched) -> ServiceCollector:
    return ServiceCollector(watched.settings, all_kinds(watched.settings))


def test_what_ends_is_counted_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderate.watch.prometheus.SHARED_SECONDS", 0)
    counting = collector(watched)

    def done() -> float:
        return sum(
            sample.value
            for family in counting.collect()
            for sample in family.samples
            if sample.name == "moderate_items_ended_total"
            and sample.labels["state"] == "done"
        )

    watched.record(OTHER, "before", "after", "later")
    end = (
        "UPDATE work_item SET state = 'done', finished_at ="
        " clock_timestamp() - interval '{} s' WHERE key = '{}'"
    )
    watched.sql(end.format(60, "before"))
    assert done() == 0, "what ended before it began is not its to count"
    watched.sql(end.format(5, "after"))
    assert done() == 1
    assert done() == 1


def test_the_sidecar_answers_and_stops_when_told(watched: Watched) -> None:
    watched.record(OTHER, "anna")
    with subprocess.Popen(
        [
            str(Path(sys.executable).with_name("moderate")),
            "metrics",
            "--port",
            "0",
            "--host",
            "127.0.0.1",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            text = httpx.get(url, timeout=30).text
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    found = samples(text)
    labels = frozenset({("flow", "user_dids"), ("state", "pending")})
    assert found["moderate_items", labels] == 1


def test_the_command_line_and_the_sidecar_do_without_dagster() -> None:
    """It would take a second and forty megabytes more."""
    code = (
        "import sys, moderate.cli, moderate.watch.prometheus;"
        "sys.exit('dagster' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_bucket_that_can_not_be_written_is_a_fault(
    watched: Watched, s3: S3
) -> None:
    given = dict(s3.client_environment())
    name = f"bucket {given['S3_JOB_OUTPUTS_BUCKET_NAME']}"
    with environment(given):
        found = findings()
        assert found["peer s3"]["grade"] == "ok"
        assert found[name]["grade"] == "ok"
    with environment({**given, "S3_JOB_OUTPUTS_BUCKET_NAME": "nowhere"}):
        found = findings()
    assert found["bucket nowhere"]["grade"] == "fault"
