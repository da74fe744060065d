"""Writes the realm for a Keycloak in a container: its import folder.

``python -m moderate.local.realm_file FOLDER`` reads, for each secret of the
realm, the variable ``REALM_`` and its name in capitals. It also knows:

================================ =============================================
variable                         meaning
================================ =============================================
``REALM_FILE_OWNER``             optional: number of the user who reads it
``OPEN_METADATA_URL``            optional: OpenMetadata logs in through the
                                 realm, and is reached under this URL
``OPEN_METADATA_ADMIN``          then: address of its first administrator
``OPEN_METADATA_ADMIN_PASSWORD`` and the password
================================ =============================================
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moderate.errors import SettingsError
from moderate.local.realm import REALM, SECRET_NAMES, render_realm

PREFIX = "REALM_"
OPEN_METADATA_CLIENT = "openmetadata"


def read_realm(environ: Mapping[str, str]) -> dict[str, Any]:
    """Render the realm with the secrets of ``environ``.

    Raises:
        SettingsError: Secrets are missing.
    """
    secrets = {
        name: environ.get(PREFIX + name.upper(), "") for name in SECRET_NAMES
    }
    realm = render_realm(secrets)
    if url := environ.get("OPEN_METADATA_URL"):
        realm["clients"].append(_open_metadata_client(url))
        realm["users"].append(_administrator(environ))
    return realm


def write_realm(folder: Path, environ: Mapping[str, str]) -> Path:
    """Write the realm's file, for its owner only; returns its path."""
    path = folder / f"{REALM}-realm.json"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(read_realm(environ)))
    if owner := environ.get("REALM_FILE_OWNER"):
        os.chown(path, int(owner), -1)
    return path


def _open_metadata_client(url: str) -> dict[str, Any]:
    return {
        "clientId": OPEN_METADATA_CLIENT,
        "name": "OpenMetadata",
        "enabled": True,
        "protocol": "openid-connect",
        # Its user interface logs in from the browser, with PKCE.
        "publicClient": True,
        "standardFlowEnabled": True,
        "redirectUris": [f"{url}/callback", f"{url}/silent-callback"],
        "webOrigins": [url],
    }


def _administrator(environ: Mapping[str, str]) -> dict[str, Any]:
    address = environ.get("OPEN_METADATA_ADMIN", "")
    password = environ.get("OPEN_METADATA_ADMIN_PASSWORD", "")
    name = address.partition("@")[0]
    if not (name and password):
        msg = (
            "OPEN_METADATA_ADMIN (an e-mail address) and"
            " OPEN_METADATA_ADMIN_PASSWORD are needed"
        )
        raise SettingsError(msg)
    return {
        "username": name,
        "email": address,
        "emailVerified": True,
        "enabled": True,
        "credentials": [
            {"type": "password", "value": password, "temporary": False}
        ],
    }


def main() -> int:
    """Write the file; returns the exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m moderate.local.realm_file FOLDER\n")
        return 2
    try:
        path = write_realm(Path(sys.argv[1]), os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
