"""Each peer is told apart: well, away, of no right, or too old."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from keycloak import KeycloakAdmin
from kubernetes.config import kube_config

from moderate.cli import cli
from moderate.local.services.keycloak import Keycloak
from moderate.local.services.open_metadata import OpenMetadata
from moderate.local.services.platform_api import PlatformApi
from moderate.watch import doctor
from moderate.watch.findings import Finding, Grade
from moderate.watch.rights import WANTED
from moderate_tests.integration.flows.platform import environment
from moderate_tests.integration.operations.conftest import Watched
from moderate_tests.kubernetes.cluster import TestCluster
from moderate_tests.ports import CLOSED_PORT
from moderate_tests.unit.clients.peer import Reply, Request, serving
from moderate_tests.unit.deploy.files import MANIFESTS, load

pytestmark = pytest.mark.services

CANARY = "canary-secret"
JSON = {"Content-Type": "application/json"}
VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.4",
    **dict.fromkeys(
        (
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        ),
        "",
    ),
}
# No test is about a machine that is too busy.
PATIENT = {"OPERATIONS_PROBE_SECONDS": "20"}

Findings = dict[str, dict[str, str]]


def findings(given: Mapping[str, str]) -> Findings:
    """Let ``moderate doctor`` look with these settings."""
    with environment({**PATIENT, **given}):
        said = CliRunner().invoke(cli, ["doctor", "--json"])
    assert CANARY not in said.output
    return {each["check"]: each for each in json.loads(said.output)}


def fault(given: Mapping[str, str], peer: str) -> dict[str, str]:
    """Return what is wrong with a peer; something has to be."""
    found = findings(given)[f"peer {peer}"]
    assert found["grade"] == "fault", found
    assert found["advice"]
    return found


# Keycloak


@pytest.fixture
def keycloak_given(watched: Watched, keycloak: Keycloak) -> Mapping[str, str]:
    return keycloak.client_environment()


def test_a_sound_keycloak_says_its_version(
    keycloak_given: Mapping[str, str],
) -> None:
    found = findings(keycloak_given)
    assert found["peer keycloak"]["grade"] == "ok"
    assert "version 26." in found["peer keycloak"]["found"]
    assert found["clock of keycloak"]["grade"] == "ok"


def test_keycloak_with_a_wrong_password(
    keycloak_given: Mapping[str, str],
) -> None:
    wrong = {**keycloak_given, "KEYCLOAK_ADMIN_PASSWORD": CANARY}
    found = fault(wrong, "keycloak")
    assert "KEYCLOAK_ADMIN_PASSWORD" in found["advice"]


def test_a_keycloak_account_that_may_not_see_users(
    keycloak_given: Mapping[str, str],
) -> None:
    admin = KeycloakAdmin(
        server_url=keycloak_given["KEYCLOAK_SERVER_URL"],
        username=keycloak_given["KEYCLOAK_ADMIN_USERNAME"],
        password=keycloak_given["KEYCLOAK_ADMIN_PASSWORD"],
        realm_name="master",
    )
    name, password = f"nobody-{uuid4().hex}", f"{CANARY}-1"
    user = admin.create_user(
        {
            "username": name,
            "email": f"{name}@example.org",
            "firstName": "No",
            "lastName": "Body",
            "enabled": True,
            "credentials": [
                {"type": "password", "value": password, "temporary": False}
            ],
        }
    )
    try:
        found = fault(
            {
                **keycloak_given,
                "KEYCLOAK_ADMIN_USERNAME": name,
                "KEYCLOAK_ADMIN_PASSWORD": password,
            },
            "keycloak",
        )
    finally:
        admin.delete_user(user)
    assert "403" in found["found"]
    assert "view the realm's users" in found["advice"]


# The platform API


@pytest.fixture
def platform_given(
    watched: Watched, platform_api: PlatformApi
) -> Mapping[str, str]:
    return platform_api.client_environment()


def test_a_sound_platform_api(platform_given: Mapping[str, str]) -> None:
    assert findings(platform_given)["peer platform_api"]["grade"] == "ok"


def test_a_platform_account_without_the_role(
    platform_given: Mapping[str, str], realm_secrets: Mapping[str, str]
) -> None:
    alice = {
        **platform_given,
        "API_USERNAME": "alice",
        "API_PASSWORD": realm_secrets["alice_password"],
    }
    assert "lacks the role api_admin" in fault(alice, "platform_api")["found"]


def test_a_platform_account_with_a_wrong_password(
    platform_given: Mapping[str, str],
) -> None:
    wrong = {**platform_given, "API_PASSWORD": CANARY}
    assert "API_PASSWORD" in fault(wrong, "platform_api")["advice"]


# OpenMetadata


@pytest.fixture
def catalogue_given(
    watched: Watched, open_metadata: OpenMetadata
) -> Mapping[str, str]:
    return open_metadata.client_environment()


def test_a_sound_open_metadata_says_its_version(
    catalogue_given: Mapping[str, str],
) -> None:
    found = findings(catalogue_given)["peer open_metadata"]
    assert found["grade"] == "ok"
    assert "version 1.12.6" in found["found"]


def test_an_open_metadata_token_that_is_over_or_wrong(
    catalogue_given: Mapping[str, str], open_metadata: OpenMetadata
) -> None:
    for token in (open_metadata.token_until(1_000_000_000), CANARY):
        wrong = {**catalogue_given, "OPEN_METADATA_TOKEN": token}
        found = fault(wrong, "open_metadata")
        assert "401" in found["found"]
        assert "ingestion bot" in found["advice"]


# Kubernetes


UseCluster = Callable[[str], Mapping[str, str]]


@pytest.fixture
def use_cluster(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> UseCluster:
    """Make the settings of a worker on a cluster."""

    def use(url: str) -> Mapping[str, str]:
        path = tmp_path / "kubeconfig"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
            f'clusters: [{{name: test, cluster: {{server: "{url}"}}}}]\n'
            "users: [{name: test, user: {}}]\n"
            "contexts:\n- name: test\n  context:\n"
            "    {cluster: test, user: test, namespace: analyses}\n"
        )
        # Read by the client when it was imported.
        monkeypatch.setattr(
            kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path)
        )
        return {"ANALYSIS_LAUNCHER": "kubernetes", "KUBECONFIG": str(path)}

    return use


@contextmanager
def reviewing(*refused: tuple[str, str]) -> Iterator[str]:
    """Answer who may what; know no Job and no pod."""

    def answer(request: Request) -> Reply:
        if request.path.startswith("/version"):
            return Reply(200, VERSION, headers=JSON)
        if request.method != "POST":
            return Reply(404, {"kind": "Status", "code": 404}, headers=JSON)
        body = request.json()
        asked = body["spec"]["resourceAttributes"]
        may = (asked["verb"], asked["resource"]) not in refused
        return Reply(201, {**body, "status": {"allowed": may}}, headers=JSON)

    with serving() as peer:
        peer.answer = answer
        yield peer.url


def test_a_sound_cluster_lets_us_do_what_we_need(
    use_cluster: UseCluster,
) -> None:
    with reviewing() as url:
        found = findings(use_cluster(url))
    assert found["peer kubernetes"]["grade"] == "ok"
    assert "version v1.33.4" in found["peer kubernetes"]["found"]
    assert found["kubernetes rights"]["grade"] == "ok"


def test_a_right_that_is_missing_in_the_cluster_is_named(
    use_cluster: UseCluster,
) -> None:
    with reviewing(("create", "secrets"), ("patch", "jobs")) as url:
        found = findings(use_cluster(url))["kubernetes rights"]
    assert found["grade"] == "fault"
    assert "patch jobs, create secrets" in found["found"]
    assert "helm-values/manifests" in found["advice"]


def test_a_cluster_that_refuses_us(
    use_cluster: UseCluster, tmp_path: Path
) -> None:
    cluster = TestCluster(tmp_path)
    try:
        given = use_cluster(cluster.url)
        assert findings(given)["peer kubernetes"]["grade"] == "ok"
        cluster.server.failing = 403
        assert "403" in fault(given, "kubernetes")["found"]
    finally:
        cluster.close()


def test_the_role_grants_what_the_doctor_asks_for() -> None:
    granted = {
        (group, resource, verb)
        for rule in load(MANIFESTS / "base" / "role.yaml")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    wanted = {
        (group, resource + (part and f"/{part}"), verb)
        for (group, resource, part), verbs in WANTED.items()
        for verb in verbs
    }
    assert wanted <= granted


# The vault

VAULT_TOKEN = f"{CANARY}-of-the-vault"


@contextmanager
def vault(*, rights: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Answer as a vault does; yield the settings that name it."""
    answers = {
        "/v1/auth/token/lookup-self": {"data": {"policies": ["default"]}},
        "/v1/sys/health": {"sealed": False, "version": "2.3.1"},
        "/v1/sys/capabilities-self": {"capabilities": list(rights)},
    }

    def answer(request: Request) -> Reply:
        knows = request.headers.get("x-vault-token") == VAULT_TOKEN
        if knows and (found := answers.get(request.path.split("?")[0])):
            return Reply(200, found, headers=JSON)
        return Reply(403, {"errors": ["permission denied"]}, headers=JSON)

    with serving() as peer:
        peer.answer = answer
        yield {
            "DATA_KEYS_SOURCE": "vault",
            "VAULT_ADDR": peer.url,
            "VAULT_TOKEN": VAULT_TOKEN,
        }


def test_a_sound_vault_says_its_version_and_our_rights(
    watched: Watched,
) -> None:
    with vault(rights=["read"]) as given:
        found = findings(given)
    assert found["peer vault"]["grade"] == "ok"
    assert "version 2.3.1" in found["peer vault"]["found"]
    assert found["vault rights"]["grade"] == "ok"


def test_a_vault_whose_keys_may_not_be_read_is_told(watched: Watched) -> None:
    with vault(rights=["deny"]) as given:
        found = findings(given)
    assert found["vault rights"]["grade"] == "note", "single keys may be"
    assert "grant it `read`" in found["vault rights"]["advice"]


def test_a_vault_that_does_not_know_us_is_a_fault(watched: Watched) -> None:
    with vault(rights=["read"]) as given:
        wrong = {**given, "VAULT_TOKEN": CANARY}
        found = fault(wrong, "vault")
        assert "vault rights" not in findings(wrong)
    assert "Forbidden" in found["found"]
    assert "VAULT_TOKEN" in found["advice"]


# All of them

AWAY: Mapping[str, Mapping[str, str]] = {
    "keycloak": {
        "KEYCLOAK_SERVER_URL": f"http://127.0.0.1:{CLOSED_PORT}",
        "KEYCLOAK_ADMIN_USERNAME": "admin",
        "KEYCLOAK_ADMIN_PASSWORD": CANARY,
    },
    "platform_api": {
        "API_BASE_URL": f"http://127.0.0.1:{CLOSED_PORT}",
        "API_USERNAME": "workflows",
        "API_PASSWORD": CANARY,
    },
    "open_metadata": {
        "OPEN_METADATA_HOST": "127.0.0.1",
        "OPEN_METADATA_PORT": str(CLOSED_PORT),
        "OPEN_METADATA_TOKEN": CANARY,
    },
    "s3": {
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{CLOSED_PORT}",
        "S3_ACCESS_KEY_ID": "key",
        "S3_SECRET_ACCESS_KEY": CANARY,
        "S3_REGION": "eu",
        "S3_BUCKET_NAME": "bucket",
    },
}


@pytest.mark.parametrize("peer", AWAY)
def test_a_peer_that_is_away_is_a_fault(watched: Watched, peer: str) -> None:
    found = findings(AWAY[peer])
    assert found[f"peer {peer}"]["grade"] == "fault"
    assert f"clock of {peer}" not in found, "nothing is known of it"


def test_a_cluster_that_is_away_is_a_fault(use_cluster: UseCluster) -> None:
    found = findings(use_cluster(f"http://127.0.0.1:{CLOSED_PORT}"))
    assert found["peer kubernetes"]["grade"] == "fault"
    assert "kubernetes rights" not in found, "nobody could be asked"


def test_a_peer_that_is_too_old_is_a_fault_that_names_the_version(
    watched: Watched,
    open_metadata: OpenMetadata,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = open_metadata.client_environment()
    for peer in ("postgres", "rabbitmq", "open_metadata"):
        monkeypatch.setitem(doctor.LEAST_VERSIONS, peer, (99, 1))
    found = findings(given)
    for peer in ("postgres", "rabbitmq", "open_metadata"):
        old = found[f"peer {peer}"]
        assert old["grade"] == "fault"
        assert "upgrade it to 99.1 or newer" in old["advice"]


@pytest.mark.parametrize(
    ("version", "grade"),
    [
        ("14.9 (Debian)", "fault"),
        ("15.0", "ok"),
        ("15", "ok"),
        ("100.1", "ok"),
        ("", "ok"),
        ("unknown", "ok"),
    ],
)
def test_versions_are_compared_as_numbers(version: str, grade: str) -> None:
    fine = Finding("peer postgres", Grade.OK, "answers")
    assert doctor._judged("postgres", fine, version).grade == grade
