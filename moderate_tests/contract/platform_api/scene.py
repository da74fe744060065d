"""What there is on the platform before the cases begin."""

import uuid
from dataclasses import dataclass
from string import Template
from typing import Any

from moderate_tests.contract.platform_api.peer import ADMIN, OWNER, Peer

NOWHERE = 99_999_999


@dataclass(frozen=True)
class Scene:
    """An owner's assets and objects, made for this run.

    Cases name the values as ``$name``.
    """

    values: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def fill(self, value: Any) -> Any:
        """Put the values into a case; a text that is but a name gets the
        value itself."""
        if isinstance(value, str):
            name = value.removeprefix("$")
            if name != value and name in self.values:
                return self.values[name]
            return Template(value).safe_substitute(self.values)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value


def make_scene(peer: Peer) -> Scene:
    """Make the owner's assets: private, public, without owner."""
    run = uuid.uuid4().hex[:12]
    # Filters turn what looks like a number into one: "1e5..." would be.
    series = f"series-{run}"
    asset_uuid = str(uuid.uuid4())
    peer.post(ADMIN, "/user/did", json={"username": f"contract-{run}"})
    private = peer.post(
        OWNER,
        "/asset",
        json={
            "name": f"contract {run}",
            "uuid": asset_uuid,
            "description": "d",
            "meta": {"k": 1},
            "access_level": "private",
        },
    )
    public = peer.post(
        OWNER,
        "/asset",
        json={"name": f"public {run}", "access_level": "public"},
    )
    ownerless = peer.post(
        ADMIN,
        "/asset",
        json={"name": f"ownerless {run}", "is_public_ownerless": True},
    )
    first = peer.upload(
        OWNER,
        private["id"],
        f"My File {run} (1).csv",
        tags='{"git_commit": "abc"}',
        series_id=series,
        name="n",
        description="d",
    )
    second = peer.upload(OWNER, private["id"], f"My File {run} (1).csv")
    shown = peer.upload(OWNER, public["id"], "p.csv")
    orphan = peer.upload(ADMIN, ownerless["id"], "ow.csv")
    return Scene(
        {
            "run": run,
            "series": series,
            "owner": peer.names[OWNER],
            "admin": peer.names[ADMIN],
            "nowhere": NOWHERE,
            "asset": private["id"],
            "asset_name": private["name"],
            "asset_uuid": asset_uuid,
            "public_asset": public["id"],
            "ownerless_asset": ownerless["id"],
            "object": first["id"],
            "key": first["key"],
            "second": second["id"],
            "second_key": second["key"],
            "public_object": shown["id"],
            "public_key": shown["key"],
            "orphan": orphan["id"],
            "orphan_key": orphan["key"],
        }
    )
