"""Make up the Secrets of the local cluster, and print them as JSON.

For ``kubectl create --filename -``: they are in no file. The argument is the
URL under which browsers reach OpenMetadata.
"""

import base64
import json
import secrets
import sys
from collections.abc import Mapping

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
) -> dict[str, object]:
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


def local_secrets(open_metadata_url: str) -> list[dict[str, object]]:
    """Return all Secrets; those that name the same thing agree."""
    realm = {PREFIX + name.upper(): made_up() for name in SECRET_NAMES}
    postgres, dagster, open_metadata = made_up(), made_up(), made_up()
    rabbitmq, keycloak = made_up(), made_up()
    access_key, secret_key = made_up(), made_up()
    broker = f"moderate:{rabbitmq}@rabbitmq"
    fernet_key = base64.urlsafe_b64encode(
        secrets.token_bytes(FERNET_KEY_BYTES)
    )
    return [
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


def main() -> None:
    """Print the list."""
    items = local_secrets(sys.argv[1])
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)


if __name__ == "__main__":
    main()
