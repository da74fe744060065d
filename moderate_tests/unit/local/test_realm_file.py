import json
import stat
from pathlib import Path

import pytest

from moderate.errors import SettingsError
from moderate.local.realm import SECRET_NAMES
from moderate.local.realm_file import PREFIX, read_realm, write_realm

SECRETS = {PREFIX + name.upper(): f"made-up-{name}" for name in SECRET_NAMES}
OPEN_METADATA = {
    "OPEN_METADATA_URL": "http://10.0.0.5:8585",
    "OPEN_METADATA_ADMIN": "admin@moderate.local",
    "OPEN_METADATA_ADMIN_PASSWORD": "made-up",
}


def test_the_file_is_its_owners_alone_even_if_it_was_not(
    tmp_path: Path,
) -> None:
    old = tmp_path / "moderate-realm.json"
    old.touch(mode=0o644)

    path = write_realm(tmp_path, SECRETS)

    assert path == old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["realm"] == "moderate"


def test_a_missing_secret_is_named() -> None:
    secrets = SECRETS | {"REALM_ALICE_PASSWORD": ""}

    with pytest.raises(SettingsError, match="alice_password"):
        read_realm(secrets)


def test_open_metadata_logs_in_through_the_realm_when_it_is_there() -> None:
    without = read_realm(SECRETS)
    realm = read_realm(SECRETS | OPEN_METADATA)

    assert len(realm["clients"]) == len(without["clients"]) + 1
    client = realm["clients"][-1]
    assert client["publicClient"]
    assert client["redirectUris"][0] == "http://10.0.0.5:8585/callback"
    # OpenMetadata takes what is before the @ for the administrator's name.
    assert realm["users"][-1]["username"] == "admin"
    assert realm["users"][-1]["email"] == "admin@moderate.local"


@pytest.mark.parametrize(
    "name", ["OPEN_METADATA_ADMIN", "OPEN_METADATA_ADMIN_PASSWORD"]
)
def test_open_metadata_needs_an_administrator(name: str) -> None:
    with pytest.raises(SettingsError, match="OPEN_METADATA_ADMIN"):
        read_realm(SECRETS | OPEN_METADATA | {name: ""})
