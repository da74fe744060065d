"""Make up the Secrets of the local cluster, and print them as JSON.

For ``kubectl create --filename -``: they are in no file. The argument is the
URL under which browsers reach OpenMetadata.
"""

import base64
import json
import secrets
import sys
from collections.abc import Mapping

from moderate.local.realm import SECRET_NAMES
from moderate.local.realm_file import PREFIX

NAMESPACE = "moderate"
PLATFORM = "moderate-platform"
FERNET_KEY_BYTES = 32
# The first administrator of OpenMetadata: INITIAL_ADMIN@PRINCIPAL_DOMAIN of
# helm-values/openmetadata.
ADMINISTRATOR = "admin@moderate.local"


def made_up() -> str:
    """Return a secret that fits into URLs and SQL."""
    return secrets.token_urlsafe(24)


def secret(
    namespace: str, name: str, values: Mapping[str, str]
) -> dict[str, object]:
    """Return a Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": dict(values),
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
        secret(
            NAMESPACE,
            "moderate-dagster-postgres",
            {"postgresql-password": dagster},
        ),
        secret(
            NAMESPACE,
            "moderate-secrets",
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
