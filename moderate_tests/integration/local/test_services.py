"""Each service answers its real client, and keeps its data when killed."""

from pathlib import Path
from uuid import uuid4

import pika
import psycopg
import pytest
from keycloak import KeycloakAdmin, KeycloakOpenID

from moderate.local.ports import free_port
from moderate.local.realm import API_ACCOUNT, CLIENT_ID, CLIENT_SECRET
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.postgres import Postgres
from moderate.local.services.rabbitmq import RabbitMQ
from moderate.local.services.s3 import S3, S3Program

pytestmark = pytest.mark.services


def test_postgres_keeps_committed_rows_when_it_is_killed(
    postgres_server: Postgres, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("create table kept as select 42 as answer")
    postgres_server.kill()
    assert not postgres_server.running
    postgres_server.start()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select * from kept").fetchone() == (42,)


def test_postgres_wants_the_password(postgres_server: Postgres) -> None:
    port = postgres_server.port
    with pytest.raises(psycopg.OperationalError, match="authentication"):
        psycopg.connect(
            f"postgresql://moderate:wrong@127.0.0.1:{port}/postgres"
        )


@pytest.mark.full
def test_rabbitmq_keeps_persistent_messages_when_it_is_killed(
    rabbitmq: RabbitMQ,
) -> None:
    queue = f"kept-{uuid4().hex}"
    parameters = pika.URLParameters(rabbitmq.url)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", queue, b"kept", persistent, mandatory=True)
    rabbitmq.kill()
    rabbitmq.start()
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        _, _, body = channel.basic_get(queue, auto_ack=True)
        channel.queue_delete(queue)
    assert body == b"kept"


def test_rabbitmq_does_not_know_the_user_guest(rabbitmq: RabbitMQ) -> None:
    guest = pika.ConnectionParameters(
        "127.0.0.1",
        rabbitmq.port,
        credentials=pika.PlainCredentials("guest", "guest"),
    )
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(guest)


def test_s3_keeps_objects_when_it_is_killed(s3: S3) -> None:
    bucket = s3.client_environment()["S3_BUCKET_NAME"]
    s3.client().put_object(
        Bucket=bucket, Key="a/b", Body=b"kept", ContentType="text/plain"
    )
    s3.kill()
    s3.start()
    answer = s3.client().get_object(Bucket=bucket, Key="a/b")
    assert answer["Body"].read() == b"kept"
    assert answer["ContentType"] == "text/plain"


def test_moto_stands_in_for_s3_where_go_is_missing(
    tmp_path: Path,
) -> None:
    with S3(
        tmp_path,
        port=free_port(),
        access_key="test-access-key",
        secret_key="test-secret-key",
        program=S3Program.MOTO,
    ) as server:
        outputs = server.client_environment()["S3_JOB_OUTPUTS_BUCKET_NAME"]
        server.client().put_object(Bucket=outputs, Key="k", Body=b"text")
        found = server.client().list_objects_v2(Bucket=outputs)
    assert [each["Key"] for each in found["Contents"]] == ["k"]


def test_keycloak_gives_the_api_account_a_token_with_its_role(
    keycloak: Keycloak, realm_secrets: dict[str, str]
) -> None:
    realm = KeycloakOpenID(
        server_url=keycloak.url,
        realm_name="moderate",
        client_id=CLIENT_ID,
        client_secret_key=realm_secrets[CLIENT_SECRET],
    )
    token = realm.token(API_ACCOUNT, realm_secrets[f"{API_ACCOUNT}_password"])
    claims = realm.decode_token(token["access_token"])
    assert claims["resource_access"][CLIENT_ID]["roles"] == ["api_admin"]


@pytest.mark.full
def test_keycloak_keeps_users_when_it_is_killed(
    keycloak: Keycloak, realm_secrets: dict[str, str]
) -> None:
    login = keycloak.client_environment()

    def admin() -> KeycloakAdmin:
        return KeycloakAdmin(
            server_url=keycloak.url,
            username=login["KEYCLOAK_ADMIN_USERNAME"],
            password=login["KEYCLOAK_ADMIN_PASSWORD"],
            user_realm_name="master",
            realm_name="moderate",
        )

    user = admin().create_user({"username": f"kept-{uuid4().hex}"})
    keycloak.kill()
    keycloak.start()
    assert admin().get_user(user)["id"] == user
    admin().delete_user(user)
