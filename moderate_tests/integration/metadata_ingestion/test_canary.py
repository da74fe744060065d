"""No secret of the ingestion gets anywhere, however its runs end."""

from collections.abc import Callable

import pytest

from moderate.local.ports import LOOPBACK
from moderate.local.services.s3 import S3
from moderate.resources import inbox_address
from moderate.settings import process_settings
from moderate_tests import canary
from moderate_tests.integration.clients.proxy import proxied
from moderate_tests.integration.flows.planting import OWNED
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.metadata_ingestion.world import Run, World

pytestmark = [pytest.mark.services, pytest.mark.full]

PASSWORD = "c@nary:w/ö rd%41'\"$#?"


def said(world: World, run: Run) -> str:
    """Return all that Dagster keeps of a run."""
    logs = world.instance.all_logs(run.result.run_id)
    stored = world.instance.get_run_by_id(run.result.run_id)
    return "\n".join([*map(repr, logs), repr(stored)])


def ends(world: World) -> list[Run]:
    """Let runs end well, refused, and broken."""
    well = world.ingest()
    assert well.success, well.failures()
    lake = world.ingest("datalake")
    assert lake.success, lake.failures()
    world.faults(expired_token=True)
    refused = world.ingest(force=True)
    world.faults(routes=[{"prefix": "/api/v1/tables/bulk", "status": 500}])
    broken = world.ingest(force=True)
    with environment({"POSTGRES_PASSWORD": f"{PASSWORD}, wrong"}):
        locked_out = world.ingest()
    with environment({"S3_SECRET_ACCESS_KEY": f"{PASSWORD}, wrong"}):
        unsigned = world.ingest("datalake", force=True)
    assert not any(
        run.success for run in (refused, broken, locked_out, unsigned)
    )
    return [well, lake, refused, broken, locked_out, unsigned]


def test_no_secret_of_the_ingestion_gets_anywhere(
    world: World,
    s3: S3,
    capfd: pytest.CaptureFixture[str],
    summary: Callable[[str], None],
) -> None:
    name = world.database("shop")
    world.put("readings/a.csv", b"a,b\n1,2\n")
    role = f"{world.prefix}canary"
    quoted = PASSWORD.replace("'", "''")
    world.sql(name, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{quoted}'")
    inbox = inbox_address(process_settings()).conninfo
    login = {"POSTGRES_USERNAME": role, "POSTGRES_PASSWORD": PASSWORD}
    try:
        with proxied(LOOPBACK, world.server.port, listens=True) as tap:
            with environment({**login, "OPEN_METADATA_PORT": str(tap.port)}):
                runs = ends(world)
            sent = bytes(tap.heard or b"").decode(errors="replace")
    finally:
        world.faults()
        world.sql(name, f"DROP ROLE {role}")
    sweep = canary.Sweep(
        {
            **canary.stand_ins(),
            **s3.client_environment(),
            **world.server.client_environment(),
            **login,
        },
        {"a wrong password": f"{PASSWORD}, wrong"},
    )
    out = capfd.readouterr()
    sweep.look("output", [("out", out.out), ("err", out.err)])
    sweep.look("command lines", canary.command_lines())
    sweep.look("event log", [("run", said(world, each)) for each in runs])
    sweep.look(
        "sent to OpenMetadata",
        [("all", sent)],
        owned=OWNED["OPEN_METADATA_HOST"],
    )
    sweep.look("inbox", canary.database(inbox))
    summary(sweep.summary("metadata ingestion"))
    assert not sweep.leaks
    assert not sweep.empty_places, "what is empty proves nothing"
    assert "databaseServices" in sent, "it was told how to connect"
    assert "/tables/bulk" in sent, "the processes of the steps are heard, too"
