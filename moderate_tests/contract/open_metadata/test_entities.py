"""What becomes of entities: made, changed, listed, deleted, brought back."""

import httpx
import pytest

from moderate_tests.contract.open_metadata.peer import Peer, table

CHANGE = "x-openmetadata-change"
BULK = "tables/bulk?async=false&overrideMetadata=false"
FOREIGN_KEY = {
    "constraintType": "FOREIGN_KEY",
    "columns": ["a"],
    "relationshipType": "MANY_TO_ONE",
}


def test_a_bulk_request_succeeds_as_a_whole(peer: Peer) -> None:
    schema = peer.schema()

    result = peer.put(BULK, [table("t", schema), table("u", schema)])

    assert result == {
        "status": "success",
        "numberOfRowsProcessed": 2,
        "numberOfRowsPassed": 2,
        "numberOfRowsFailed": 0,
        "successRequest": [
            {"request": f"{schema}.t", "status": 200},
            {"request": f"{schema}.u", "status": 200},
        ],
        "failedRequest": [],
    }


def test_a_bulk_request_that_fails_in_part_is_answered_with_200(
    peer: Peer,
) -> None:
    """Who looks at the status alone takes it for a success."""
    schema = peer.schema()

    answer = peer.client.put(
        f"/api/v1/{BULK}", json=[table("t", schema), table("bad", "x.y.z")]
    )

    assert answer.status_code == 200
    result = answer.json()
    assert result["status"] == "partialSuccess"
    assert result["numberOfRowsFailed"] == 1
    (failed,) = result["failedRequest"]
    assert failed["request"]["name"] == "bad"
    assert failed["message"] == "databaseSchema instance for x.y.z not found"


def test_a_bulk_request_that_fails_as_a_whole_is_answered_with_200(
    peer: Peer,
) -> None:
    schema = peer.schema()
    nameless = {
        key: value for key, value in table("", schema).items() if key != "name"
    }

    answer = peer.client.put(f"/api/v1/{BULK}", json=[nameless])

    assert answer.status_code == 200
    result = answer.json()
    assert result["status"] == "failure"
    assert "successRequest" not in result
    assert result["failedRequest"][0]["message"] == "[name must not be null]"


def test_a_row_without_columns_fails_alone(peer: Peer) -> None:
    schema = peer.schema()
    empty = {"name": "e", "databaseSchema": schema}

    result = peer.put(BULK, [empty, table("t", schema)])

    assert result["status"] == "partialSuccess"
    assert (
        result["failedRequest"][0]["message"] == "[columns must not be null]"
    )


@pytest.mark.parametrize(
    "name", ["raw/people.csv", "with space ü", "a.b.c", "100%"]
)
def test_names_are_quoted_where_they_hold_a_dot(peer: Peer, name: str) -> None:
    schema = peer.schema()
    peer.put(BULK, [table(name, schema, "c.d")])
    part = f'"{name}"' if "." in name else name

    found = peer.named("tables", f"{schema}.{part}")

    assert found.status_code == 200
    assert found.json()["name"] == name
    (column,) = found.json()["columns"]
    assert column["fullyQualifiedName"] == f'{schema}.{part}."c.d"'


def test_the_same_again_changes_nothing(peer: Peer) -> None:
    schema = peer.schema()
    body = table("t", schema, "a", "b", sourceHash="1")
    peer.put(BULK, [body])
    before = peer.named("tables", f"{schema}.t").json()

    peer.put(BULK, [body])

    after = peer.named("tables", f"{schema}.t").json()
    assert after["version"] == before["version"] == 0.1
    assert after["updatedAt"] == before["updatedAt"]


def test_a_new_column_is_a_new_version(peer: Peer) -> None:
    schema = peer.schema()
    peer.put(BULK, [table("t", schema, "a")])

    peer.put(BULK, [table("t", schema, "a", "b")])

    after = peer.named("tables", f"{schema}.t").json()
    assert [column["name"] for column in after["columns"]] == ["a", "b"]
    assert after["version"] == 0.2
    (added,) = after["changeDescription"]["fieldsAdded"]
    assert added["name"] == "columns"


def test_a_bot_leaves_the_words_that_are_there(peer: Peer) -> None:
    """A person may have written them; the override says that none has."""
    schema = peer.schema()
    for description in ("first", "second"):
        peer.put(BULK, [table("t", schema, description=description)])
    kept = peer.named("tables", f"{schema}.t").json()["description"]

    peer.put(
        "tables/bulk?async=false&overrideMetadata=true",
        [table("t", schema, description="third")],
    )

    assert kept == "first"
    replaced = peer.named("tables", f"{schema}.t").json()["description"]
    assert replaced == "third"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/nope/1/2", "value": 1},
        {"op": "add", "path": "/columns", "value": [{"name": "a"}]},
        {"op": "nope", "path": "/description"},
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(
    peer: Peer, operation: dict[str, object]
) -> None:
    made = peer.put("tables", table("t", peer.schema()))

    answer = peer.patch(f"tables/{made['id']}", [operation])

    assert 400 <= answer.status_code <= 500
    after = peer.get(f"tables/{made['id']}").json()
    assert after["version"] == made["version"]


def test_a_foreign_key_is_patched_in(peer: Peer) -> None:
    schema = peer.schema()
    peer.put(BULK, [table("t", schema), table("u", schema)])
    found = peer.named("tables", f"{schema}.t").json()
    key = {**FOREIGN_KEY, "referredColumns": [f"{schema}.u.a"]}

    answer = peer.patch(
        f"tables/{found['id']}",
        [{"op": "add", "path": "/tableConstraints/0", "value": key}],
    )

    assert answer.status_code == 200
    assert answer.headers[CHANGE] == "entityUpdated"
    assert answer.json()["tableConstraints"] == [key]
    assert "tableConstraints" not in peer.named("tables", f"{schema}.t").json()
    asked = peer.named("tables", f"{schema}.t", fields="tableConstraints")
    assert asked.json()["tableConstraints"] == [key]


def test_what_is_deleted_softly_is_gone_until_asked_for(peer: Peer) -> None:
    schema = peer.schema()
    made = peer.put("tables", table("t", schema))

    answer = peer.delete(
        f"tables/{made['id']}", recursive="true", hardDelete="false"
    )

    assert answer.headers[CHANGE] == "entitySoftDeleted"
    assert answer.json()["deleted"] is True
    name = f"{schema}.t"
    assert peer.named("tables", name).status_code == 404
    assert peer.named("tables", name, include="deleted").status_code == 200
    listed = peer.get("tables", databaseSchema=schema).json()
    assert listed == {"data": [], "paging": {"total": 0}}


def test_what_was_deleted_softly_comes_back_when_it_is_sent(
    peer: Peer,
) -> None:
    schema = peer.schema()
    made = peer.put("tables", table("t", schema))
    peer.delete(f"tables/{made['id']}")

    peer.put(BULK, [table("t", schema)])

    found = peer.named("tables", f"{schema}.t")
    assert found.status_code == 200
    assert found.json()["id"] == made["id"]


def test_what_lies_in_it_comes_back_with_it(peer: Peer) -> None:
    schema = peer.schema()
    peer.put(BULK, [table("t", schema)])
    database, _, _ = schema.rpartition(".")
    service, _, _ = database.rpartition(".")
    whole = peer.named("databases", database).json()
    peer.delete(f"databases/{whole['id']}", recursive="true")
    gone = peer.named("tables", f"{schema}.t").status_code

    peer.put("databases", {"name": "shop", "service": service})

    assert gone == 404
    assert peer.named("tables", f"{schema}.t").status_code == 200


def test_deleting_for_good_takes_along_what_lies_within(peer: Peer) -> None:
    schema = peer.schema()
    made = peer.put("tables", table("t", schema))
    whole = peer.named("databaseSchemas", schema).json()

    peer.delete(
        f"databaseSchemas/{whole['id']}", recursive="true", hardDelete="true"
    )

    answer = peer.get(f"tables/{made['id']}", include="all")
    assert answer.status_code == 404


def test_tables_are_listed_by_database_but_not_by_service(peer: Peer) -> None:
    """The real server ignores ``service`` there."""
    ours, other = peer.schema(), peer.schema()
    for schema in (ours, other):
        peer.put(BULK, [table("t", schema)])
    database, _, _ = ours.rpartition(".")
    service, _, _ = database.rpartition(".")

    by_database = peer.get("tables", database=database, limit=100).json()
    by_service = peer.get("tables", service=service, limit=1).json()

    assert _names(by_database) == [f"{ours}.t"]
    assert by_service["paging"]["total"] > 1


def test_pages_follow_each_other_without_gap_or_overlap(peer: Peer) -> None:
    schema = peer.schema()
    wanted = [f"{schema}.t{number}" for number in range(5)]
    peer.put(BULK, [table(f"t{number}", schema) for number in range(5)])

    found, after = [], ""
    for _ in range(3):
        more = {"after": after} if after else {}
        page = peer.get("tables", databaseSchema=schema, limit=2, **more)
        found += _names(page.json())
        after = page.json()["paging"].get("after", "")

    assert sorted(found) == wanted
    assert not after


def test_hrefs_name_another_host(peer: Peer) -> None:
    """Who follows them ends somewhere else; ids are to be used."""
    schema = peer.schema()
    made = peer.put("tables", table("t", schema))

    path = f"/api/v1/tables/{made['id']}"
    assert httpx.URL(made["href"]).path == path


def _names(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["fullyQualifiedName"] for each in page["data"]]
