"""What the emulator has and a real server does not: faults, ledger, page."""

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from moderate.local.ports import free_port
from moderate.local.services.open_metadata import OpenMetadata
from moderate_tests.contract.open_metadata.conftest import connect
from moderate_tests.contract.open_metadata.peer import Peer, table

BULK = "tables/bulk?async=false&overrideMetadata=false"


@pytest.fixture
def client(emulator: OpenMetadata) -> Iterator[httpx.Client]:
    """A client with the bot's token, for an empty emulator."""
    with connect(emulator.url, emulator.token) as client:
        yield client


@pytest.fixture
def empty(client: httpx.Client, emulator: OpenMetadata) -> Peer:
    """The empty emulator."""
    return Peer(client, client, emulator.token, live=False)


def fail(client: httpx.Client, **faults: Any) -> None:
    client.put("/_emulator/faults", json=faults).raise_for_status()


def test_chosen_rows_fail_within_a_good_answer(
    empty: Peer, client: httpx.Client
) -> None:
    schema = empty.schema()
    fail(client, rows=[{"pattern": "*.hr.t", "message": "no room"}])

    result = empty.put(BULK, [table("t", schema), table("u", schema)])

    assert result["status"] == "partialSuccess"
    (failed,) = result["failedRequest"]
    assert (failed["message"], failed["status"]) == ("no room", 500)
    assert empty.named("tables", f"{schema}.t").status_code == 404


def test_a_fault_strikes_as_often_as_it_should(
    empty: Peer, client: httpx.Client
) -> None:
    fault = {"prefix": "/api/v1/tables", "status": 503, "skip": 1, "count": 2}
    fail(client, routes=[fault])

    statuses = [empty.get("tables").status_code for _ in range(4)]

    assert statuses == [200, 503, 503, 200]
    assert empty.get("databases").status_code == 200


def test_an_answer_can_be_lost_after_its_effect(
    empty: Peer, client: httpx.Client
) -> None:
    schema = empty.schema()
    fault = {"method": "PUT", "status": 504, "count": 1, "after_effect": True}
    fail(client, routes=[fault])

    answer = client.put(f"/api/v1/{BULK}", json=[table("t", schema)])

    assert answer.status_code == 504
    assert empty.named("tables", f"{schema}.t").status_code == 200


def test_slow_answers_come_late(empty: Peer, client: httpx.Client) -> None:
    fail(client, routes=[{"latency_ms": 200}])

    began = time.monotonic()
    empty.get("tables")

    assert time.monotonic() - began > 0.2


@pytest.mark.parametrize(
    ("faults", "path", "status"),
    [
        ({"expired_token": True}, "tables", 401),
        (
            {"search_down": True},
            "search/query?index=table_search_index",
            500,
        ),
        ({"search_down": True}, "tables", 200),
        ({"down": True}, "tables", 503),
    ],
)
def test_a_fault_has_the_status_that_it_has_there(
    empty: Peer,
    client: httpx.Client,
    faults: dict[str, bool],
    path: str,
    status: int,
) -> None:
    fail(client, **faults)

    assert client.get(f"/api/v1/{path}").status_code == status


def test_an_expired_token_is_refused(emulator: OpenMetadata) -> None:
    with connect(emulator.url, emulator.token_until(1)) as client:
        answer = client.get("/api/v1/tables")

    assert answer.status_code == 401
    assert answer.json()["message"] == "Expired token!"


def test_the_ledger_tells_writes_from_reads_and_refusals(
    empty: Peer, client: httpx.Client
) -> None:
    """Benchmarks say "0 writes" by it."""
    schema = empty.schema()
    client.delete("/_emulator/ledger").raise_for_status()

    empty.get("tables")
    client.request("DELETE", "/api/v1/tables/deleteStale", json={})
    unwritten = client.get("/_emulator/ledger").json()
    for _ in range(2):
        empty.put(BULK, [table("t", schema), table("u", schema)])
    written = client.get("/_emulator/ledger").json()

    assert unwritten["writes"] == 0
    assert unwritten["requests"] == {
        "DELETE /api/v1/tables/deleteStale": {"404": 1},
        "GET /api/v1/tables": {"200": 1},
    }
    assert written["writes"] == 2
    assert written["rows"] == {"table": 4}
    assert [
        (bulk["created"], bulk["unchanged"]) for bulk in written["bulks"]
    ] == [(2, 0), (0, 2)]
    assert [call["method"] for call in written["calls"]] == [
        "GET",
        "DELETE",
        "PUT",
        "PUT",
    ]


def test_profiles_and_sample_rows_are_kept(
    empty: Peer, client: httpx.Client
) -> None:
    schema = empty.schema()
    made = empty.put("tables", table("t", schema, "a"))
    empty.put(
        f"tables/{made['id']}/tableProfile",
        {
            "tableProfile": {"timestamp": 1, "rowCount": 5, "columnCount": 1},
            "columnProfile": [
                {"name": "a", "timestamp": 1, "nullProportion": 0.5}
            ],
        },
    )
    empty.put(
        f"tables/{made['id']}/sampleData",
        {"columns": ["a"], "rows": [[1], [2]]},
    )

    latest = empty.get(f"tables/{schema}.t/tableProfile/latest").json()
    assert latest["profile"]["rowCount"] == 5
    assert latest["columns"][0]["profile"]["nullProportion"] == 0.5
    shown = client.get("/_emulator/overview").json()
    (service,) = shown["services"]
    (leaf,) = service["folders"][0]["leaves"]
    assert leaf["profile"] == {
        "timestamp": 1,
        "rows": 5,
        "columns": 1,
        "profiled_columns": 1,
    }
    assert leaf["sample_rows"] == 2


def test_a_profile_that_is_none_is_refused(empty: Peer) -> None:
    made = empty.put("tables", table("t", empty.schema()))

    answer = empty.client.put(
        f"/api/v1/tables/{made['id']}/tableProfile",
        json={"tableProfile": {"timestamp": 1, "bogus": 1}},
    )

    assert answer.status_code == 400


def test_the_pages_show_what_arrived_and_escape_it(
    empty: Peer, client: httpx.Client
) -> None:
    schema = empty.schema()
    row = table("<script>alert(1)</script>", schema, "<b>a</b>")
    empty.put(BULK, [row | {"description": "<i>what</i>"}])
    gone = empty.put("tables", table("gone", schema))
    empty.delete(f"tables/{gone['id']}")

    page = client.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>" not in page.text
    assert "1 deleted" in page.text
    (path,) = re.findall(r'href="(/table[^"]*)">&lt;script', page.text)
    details = client.get(path).text
    assert "&lt;b&gt;a&lt;/b&gt;" in details
    assert "&lt;i&gt;what&lt;/i&gt;" in details
    assert client.get("/table?id=nope").status_code == 404


def test_no_secret_is_shown(empty: Peer, client: httpx.Client) -> None:
    """Connections are kept and answered, as there, but never displayed."""
    config = {
        "type": "Postgres",
        "username": "u",
        "hostPort": "db.example:1",
        "database": "shop",
        "authType": {"password": "canary-one"},
    }
    body = {
        "name": "secretive",
        "serviceType": "Postgres",
        "connection": {"config": config},
    }
    empty.put("services/databaseServices", body)
    config["authType"] = {"password": "canary-two"}
    answer = empty.put("services/databaseServices", body)
    config["bogus"] = "canary-three"
    refused = client.put("/api/v1/services/databaseServices", json=body)

    assert "canary" not in str(answer["changeDescription"])
    assert refused.status_code == 400
    assert "canary" not in refused.text
    for path in ("/", "/_emulator/overview", "/_emulator/ledger"):
        assert "canary" not in client.get(path).text


def test_a_reset_forgets_everything(empty: Peer, client: httpx.Client) -> None:
    empty.schema()
    fail(client, expired_token=True)

    client.post("/_emulator/reset").raise_for_status()

    assert client.get("/_emulator/overview").json()["services"] == []
    assert client.get("/_emulator/ledger").json()["writes"] == 0
    assert empty.get("tables").status_code == 200


def test_a_restart_wipes_it_and_keeps_the_token(
    emulator: OpenMetadata, empty: Peer
) -> None:
    """As a server whose database was made anew."""
    empty.schema()

    emulator.restart()

    listed = empty.get("services/databaseServices")
    assert listed.status_code == 200
    assert listed.json()["data"] == []


def test_a_key_that_is_too_short_stops_the_start(tmp_path: Any) -> None:
    """It would make tokens that libraries refuse."""
    server = OpenMetadata(
        tmp_path,
        port=free_port(),
        secret="any",
        options={"OM_EMULATOR_SIGNING_KEY": "short"},
    )
    with pytest.raises(Exception, match="OM_EMULATOR_SIGNING_KEY"):
        server.start()
