"""Make up the Secrets that the local cluster lacks, and print them as JSON.

It reads those that are there from ``kubectl get secrets --output json``, and
prints a list for ``kubectl create --filename -``, or nothing: they are in no
file. The argument is the URL under which browsers reach OpenMetadata.
"""

import base64
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from moderate.local.realm import SECRET_NAMES
from moderate.local.realm_file import PREFIX

NAMESPACE = "moderate"
PLATFORM = "moderate-platform"
FERNET_KEY_BYTES = 32
RSA_BITS = 2048
# The first administrator of OpenMetadata: INITIAL_ADMIN@PRINCIPAL_DOMAIN of
# helm-values/openmetadata.
ADMINISTRATOR = "admin@moderate.local"


def made_up() -> str:
    """Return a secret that fits into URLs and SQL."""
    return secrets.token_urlsafe(24)


def key_pair() -> dict[str, bytes]:
    """Return the pair that signs the tokens of OpenMetadata's bots."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    der = serialization.Encoding.DER
    return {
        "om_privkey.der": key.private_bytes(
            der,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        "om_pubkey.der": key.public_key().public_bytes(
            der, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    }


def secret(
    namespace: str,
    name: str,
    values: Mapping[str, str],
    files: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Return a Secret of text, and of files that are none."""
    encoded = {
        file: base64.b64encode(content).decode()
        for file, content in (files or {}).items()
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": dict(values),
        "data": encoded,
    }


@dataclass(frozen=True)
class There:
    """The Secrets that the cluster has.

    Attributes:
        values: Of each, by namespace and name, its text by key.
    """

    values: Mapping[tuple[str, str], Mapping[str, str]]

    def has(self, made: Mapping[str, Any]) -> bool:
        """Return whether there is one of this name."""
        metadata = made["metadata"]
        return (metadata["namespace"], metadata["name"]) in self.values

    def get(self, namespace: str, name: str, key: str) -> str:
        """Return what one holds; nothing, if it is not there."""
        return self.values.get((namespace, name), {}).get(key, "")

    def platform(self, key: str, ours: str = "") -> str:
        """Return what the platform's has, or else ours; or make it up."""
        return (
            self.get(PLATFORM, "moderate-platform", key)
            or self.get(NAMESPACE, "dagster-secrets", ours)
            or made_up()
        )


def read_there(text: str) -> There:
    """Read the Secrets that kubectl found, but for files that are no text."""
    return There(
        {
            (item["metadata"]["namespace"], item["metadata"]["name"]): {
                key: base64.b64decode(value).decode(errors="replace")
                for key, value in item.get("data", {}).items()
            }
            for item in json.loads(text)["items"]
        }
    )


def realm_of(there: There) -> dict[str, str]:
    """Return the secrets of the realm, two of which others know too."""
    known = {
        f"{PREFIX}CLIENT_SECRET": there.get(
            PLATFORM, "moderate-platform", "realm-client-secret"
        ),
        f"{PREFIX}WORKFLOWS_PASSWORD": there.get(
            NAMESPACE, "dagster-secrets", "API_PASSWORD"
        ),
    }
    return {
        name: there.get(PLATFORM, "moderate-realm", name)
        or known.get(name)
        or made_up()
        for name in (PREFIX + each.upper() for each in SECRET_NAMES)
    }


def lacking(open_metadata_url: str, there: There) -> list[dict[str, Any]]:
    """Return the Secrets that are not there.

    Those that name the same thing agree, also with those that are there: the
    services behind them know their passwords already.
    """
    realm = realm_of(there)
    postgres = there.platform("postgres-password", "POSTGRES_PASSWORD")
    dagster = there.get(
        NAMESPACE, "moderate-dagster-postgres", "postgresql-password"
    ) or there.platform("dagster-postgres-password")
    open_metadata = there.get(
        PLATFORM, "moderate-open-metadata", "postgres-password"
    ) or there.platform("open-metadata-postgres-password")
    rabbit_url = there.get(NAMESPACE, "dagster-secrets", "RABBIT_URL")
    rabbitmq = urlsplit(rabbit_url).password or there.platform(
        "rabbitmq-password"
    )
    keycloak = there.platform(
        "keycloak-admin-password", "KEYCLOAK_ADMIN_PASSWORD"
    )
    access_key = there.platform("s3-access-key-id", "S3_ACCESS_KEY_ID")
    secret_key = there.platform("s3-secret-access-key", "S3_SECRET_ACCESS_KEY")
    broker = f"moderate:{rabbitmq}@rabbitmq"
    fernet_key = base64.urlsafe_b64encode(
        secrets.token_bytes(FERNET_KEY_BYTES)
    )
    wanted = [
        secret(
            PLATFORM,
            "moderate-platform",
            {
                "dagster-postgres-password": dagster,
                "keycloak-admin-password": keycloak,
                "open-metadata-postgres-password": open_metadata,
                "postgres-password": postgres,
                "rabbit-url": f"amqp://{broker}:5672/",
                "rabbitmq-password": rabbitmq,
                "realm-client-secret": realm[f"{PREFIX}CLIENT_SECRET"],
                "s3-access-key-id": access_key,
                "s3-secret-access-key": secret_key,
            },
        ),
        secret(
            PLATFORM,
            "moderate-realm",
            {
                **realm,
                "OPEN_METADATA_URL": open_metadata_url,
                "OPEN_METADATA_ADMIN": ADMINISTRATOR,
                "OPEN_METADATA_ADMIN_PASSWORD": made_up(),
            },
        ),
        secret(
            PLATFORM,
            "moderate-open-metadata",
            {
                "fernet-key": fernet_key.decode(),
                "postgres-password": open_metadata,
            },
        ),
        secret(PLATFORM, "openmetadata-jwt-keys", {}, key_pair()),
        secret(
            NAMESPACE,
            "moderate-dagster-postgres",
            {"postgresql-password": dagster},
        ),
        secret(
            NAMESPACE,
            "dagster-secrets",
            {
                "API_PASSWORD": realm[f"{PREFIX}WORKFLOWS_PASSWORD"],
                "KEYCLOAK_ADMIN_PASSWORD": keycloak,
                # OpenMetadata's come with `update-k8s-open-metadata-token`;
                # until then the ingestion flow is off.
                "POSTGRES_PASSWORD": postgres,
                "RABBIT_URL": f"amqp://{broker}.{PLATFORM}:5672/",
                "S3_ACCESS_KEY_ID": access_key,
                "S3_SECRET_ACCESS_KEY": secret_key,
            },
        ),
    ]
    return [each for each in wanted if not there.has(each)]


def main() -> None:
    """Print the list of those that are not there, if there are any."""
    items = lacking(sys.argv[1], read_there(sys.stdin.read()))
    if items:
        found = {"apiVersion": "v1", "kind": "List", "items": items}
        json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
