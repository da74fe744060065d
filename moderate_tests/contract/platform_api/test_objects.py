"""Uploads and the list of objects that changes while it is read."""

import hashlib
import json
import uuid
from typing import Any

import httpx

from moderate_tests.contract.platform_api.labels import covers
from moderate_tests.contract.platform_api.matching import differences
from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer
from moderate_tests.contract.platform_api.scene import Scene

CONTENT = b"when,a\n1,2\n"


def list_objects(
    peer: Peer, *filters: list[Any], **query: Any
) -> list[dict[str, Any]]:
    query |= {"filters": json.dumps(filters)}
    found: list[dict[str, Any]] = peer.get(
        ADMIN, "/asset/object", params=query
    )
    return found


@covers("object.upload", "object.upload.same_again")
def test_every_upload_is_a_new_object(peer: Peer, scene: Scene) -> None:
    form = {
        "tags": '{"git_commit": "abc"}',
        "series_id": "s1",
        "name": "n",
        "description": "d",
    }
    first = peer.upload(OWNER, scene["asset"], "My File (1).csv", **form)
    second = peer.upload(OWNER, scene["asset"], "My File (1).csv")

    expected = {
        "id": "<int>",
        "tags": {"git_commit": "abc"},
        "created_at": "<time>",
        "series_id": "s1",
        "proof_id": None,
        "meta": None,
        "name": "n",
        "description": "d",
        "key": rf"re:{scene['owner']}-assets/my-file-1-[0-9a-f-]{{36}}\.csv",
        "sha256_hash": hashlib.sha256(CONTENT).hexdigest(),
        "bucket": "<text>",
        "etag": 're:"[0-9a-f]{32}-1"',
        "location": "<text>",
        "asset_id": scene["asset"],
    }
    assert not list(differences(expected, first))
    bare = expected | dict.fromkeys(
        ("tags", "series_id", "name", "description")
    )
    assert not list(differences(bare, second))
    assert second["id"] > first["id"]
    assert second["key"] != first["key"]


@covers("object.upload.empty_file")
def test_an_empty_file_breaks_the_api(peer: Peer, scene: Scene) -> None:
    """So a client must not upload one, and not try again if it did."""
    answer = peer.ask(
        OWNER,
        "POST",
        f"/asset/{scene['asset']}/object",
        files={"obj": ("e.csv", b"", "text/csv")},
    )

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"


def test_a_download_url_brings_what_was_uploaded(
    peer: Peer, scene: Scene
) -> None:
    (found,) = peer.get(
        ADMIN,
        f"/asset/{scene['asset']}/download-urls",
        params={"object_id": scene["object"]},
    )

    content = httpx.get(found["download_url"], trust_env=False)
    assert content.content == CONTENT


@covers(
    "objects.list.no_proof",
    "objects.list.no_proof_sorted",
    "objects.list.keyset",
    "objects.list.with_proof",
)
def test_keyset_paging_finds_each_object_without_proof_once(
    peer: Peer,
) -> None:
    asset = peer.post(OWNER, "/asset", json={"name": "keyset"})
    ids = [peer.upload(OWNER, asset["id"], "k.csv")["id"] for _ in range(5)]
    in_asset = ["asset_id", "eq", asset["id"]]
    open_ones = ["proof_id", "eq", None]

    found: list[int] = []
    last = ids[0] - 1
    while page := list_objects(
        peer,
        in_asset,
        open_ones,
        ["id", "gt", last],
        sorts='[["id", "asc"]]',
        limit=2,
    ):
        found += [one["id"] for one in page]
        last = found[-1]

    assert found == ids
    assert list_objects(peer, in_asset, ["proof_id", "ne", None]) == []


def test_offsets_shift_when_objects_get_their_proof(peer: Peer) -> None:
    """Paging by offset over a filter leaves objects out."""
    username = peer.names[OWNER]
    asked = peer.post(ADMIN, "/user/did", json={"username": username})
    if asked["task_id"] is not None:
        peer.finish(ADMIN, asked["task_id"])
    asset = peer.post(OWNER, "/asset", json={"name": "offset"})
    made = [peer.upload(OWNER, asset["id"], "o.csv") for _ in range(3)]
    filters = (["asset_id", "eq", asset["id"]], ["proof_id", "eq", None])
    paging = {"sorts": '[["id", "asc"]]', "limit": 1}
    (first,) = list_objects(peer, *filters, **paging)

    body = {"object_key_or_id": first["key"]}
    task_id = peer.post(ADMIN, "/asset/proof", json=body)["task_id"]
    peer.finish(ADMIN, task_id)

    (second,) = list_objects(peer, *filters, **paging, offset=1)
    assert second["id"] == made[2]["id"]


def test_the_total_count_ignores_the_filter(peer: Peer, scene: Scene) -> None:
    filters = json.dumps([["key", "eq", scene["key"]]])

    answer = peer.ask(
        ADMIN, "GET", "/asset/object", params={"filters": filters}
    )

    assert len(answer.json()) == 1
    assert int(answer.headers["x-total-count"]) > 1


def test_a_uuid_makes_creating_an_asset_repeatable(peer: Peer) -> None:
    body = {"name": "once", "uuid": str(uuid.uuid4())}
    made = peer.post(OWNER, "/asset", json=body)

    again = peer.ask(OWNER, "POST", "/asset", json=body)

    assert again.status_code == 409
    filters = json.dumps([["uuid", "eq", body["uuid"]]])
    (found,) = peer.get(OWNER, "/asset", params={"filters": filters})
    assert found == made
    # The refused one took a number from the sequence.
    next_one = peer.post(OWNER, "/asset", json={"name": "next"})
    assert next_one["id"] >= made["id"] + 2


def test_an_object_that_was_deleted_is_not_found(peer: Peer) -> None:
    peer.need_control("delete an object; that was not recorded")
    asset = peer.post(OWNER, "/asset", json={"name": "deleted"})
    gone = peer.upload(OWNER, asset["id"], "gone.csv")
    path = f"/asset/{asset['id']}/object/{gone['id']}"
    assert peer.ask(OWNER, "DELETE", path).status_code == 200

    body = {"object_key_or_id": gone["key"]}
    assert peer.ask(ADMIN, "POST", "/asset/proof", json=body).is_client_error
    assert peer.get(OWNER, f"/asset/{asset['id']}")["objects"] == []
    assert peer.ask(OWNER, "DELETE", path).status_code == 404


def test_everybody_may_list_and_search_what_is_public_only(
    peer: Peer, scene: Scene
) -> None:
    peer.need_control("list as nobody; that was not recorded")
    listed = peer.get(None, "/asset/public")
    ids = {asset["id"] for asset in listed}
    assert scene["public_asset"] in ids
    assert scene["asset"] not in ids
    query = {"query": scene["run"], "sort": "name"}
    assert peer.get("other", "/asset/objects/search", params=query) != []
    for asset in (
        found["asset"]
        for found in peer.get("other", "/asset/objects/search", params=query)
    ):
        assert asset["id"] != scene["asset"]


def test_a_search_narrows_by_format_time_and_owner(
    peer: Peer, scene: Scene
) -> None:
    peer.need_control("search by format; that was not recorded")

    def search(**query: str) -> list[int]:
        found = peer.get(
            OWNER,
            "/asset/objects/search",
            params={"query": scene["run"], "limit": "100", **query},
        )
        return [one["id"] for one in found]

    both = {scene["object"], scene["second"]}
    assert both <= set(search())
    assert both <= set(search(file_format="parquet, csv", sort="format"))
    assert search(file_format="parquet") == []
    assert both <= set(search(date_from="2020-01-01T00:00:00Z"))
    assert both <= set(search(date_from="not a date", sort="asset_name"))
    assert search(date_from="2999-01-01") == []
    assert not both & set(search(exclude_mine="true"))
    assert len(search(limit="1", offset="1")) == 1
