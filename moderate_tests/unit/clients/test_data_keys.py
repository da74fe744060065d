"""Keys are read from where they are kept, and no error shows one."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from moderate.clients import data_keys
from moderate.clients.data_keys import (
    FolderKeys,
    KubernetesKeys,
    VaultKeys,
)
from moderate.errors import ModerateError, PermanentError, TemporaryError

CANARY = "canary-of-the-key"
TOKEN = "canary-of-the-token"
V2 = "/v1/secret/data/encryption_keys/pii_key"
V1 = "/v1/kv/encryption_keys/pii_key"
SECRET = "/api/v1/namespaces/here/secrets/keys"
SELF = "/v1/auth/token/lookup-self"
HEALTH = "/v1/sys/health"
LOGIN = "/v1/auth/kubernetes/login"
REVOKE = "/v1/auth/token/revoke-self"
CAPABILITIES = "/v1/sys/capabilities-self"


class Peer:
    """Answers GET as a vault and as Kubernetes do."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.tokens: list[str | None] = []
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                peer.tokens.append(self.headers.get("X-Vault-Token"))
                length = int(self.headers.get("Content-Length") or 0)
                peer.bodies.append(self.rfile.read(length))
                path = self.path.split("?")[0]
                peer.asked.append(path)
                status, body = peer.answers.get(path, (404, {"errors": []}))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815  # http.server's name

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_folder_holds_a_file_for_each_key(tmp_path: Path) -> None:
    (tmp_path / "pii_key").write_text(f"{CANARY}\n")
    store = FolderKeys(tmp_path)
    assert store.read("pii_key").get_secret_value() == CANARY
    with pytest.raises(PermanentError, match="'other' can't be read"):
        store.read("other")


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", ".hidden"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    for store in (FolderKeys(tmp_path), VaultKeys("http://127.0.0.1:1")):
        with pytest.raises(PermanentError, match="no name of a key"):
            store.read(name)


@pytest.mark.parametrize("key", [CANARY, [CANARY, "old"]])
def test_a_vault_holds_the_field_key(peer: Peer, key: object) -> None:
    peer.answers[V2] = (200, {"data": {"data": {"key": key}, "metadata": {}}})
    store = VaultKeys(peer.url, SecretStr(TOKEN))
    assert store.read("pii_key").get_secret_value().split()[0] == CANARY
    assert peer.tokens[-1] == TOKEN
    assert TOKEN not in repr(store)


def test_a_vault_s_first_version_is_read_too(
    peer: Peer, tmp_path: Path
) -> None:
    peer.answers[V1] = (200, {"data": {"key": CANARY}})
    (tmp_path / "token").write_text(TOKEN)
    store = VaultKeys(
        peer.url,
        token_file=str(tmp_path / "token"),
        mount="kv",
        version=1,
    )
    assert store.read("pii_key").get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, PermanentError, "the vault has no secret/encryption_keys/pii"),
        (403, PermanentError, "the vault said Forbidden"),
        (503, TemporaryError, "the vault said VaultDown"),
        (500, TemporaryError, "the vault said InternalServerError"),
    ],
)
def test_a_vault_s_errors_are_of_our_kinds(
    peer: Peer, status: int, kind: type[ModerateError], said: str
) -> None:
    peer.answers[V2] = (status, {"errors": [TOKEN]})
    with pytest.raises(kind, match=said) as caught:
        VaultKeys(peer.url, SecretStr(TOKEN)).read("pii_key")
    assert TOKEN not in str(caught.value)


def test_a_vault_that_is_down_is_temporary() -> None:
    with pytest.raises(TemporaryError, match="ConnectionError"):
        VaultKeys("http://127.0.0.1:1", SecretStr(TOKEN)).read("pii_key")


def well(peer: Peer) -> None:
    """Let the peer be a vault that knows us."""
    peer.answers |= {
        SELF: (200, {"data": {"policies": ["default"]}}),
        HEALTH: (200, {"sealed": False, "version": "2.3.1"}),
    }


def test_a_vault_that_knows_us_says_its_version(peer: Peer) -> None:
    well(peer)
    assert VaultKeys(peer.url, SecretStr(TOKEN)).greet() == "2.3.1"
    assert peer.asked == [SELF, HEALTH], "a token that was given stays"
    assert set(peer.tokens) == {TOKEN}


def test_a_token_that_was_got_for_a_look_is_given_up(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a look each minute: they would pile up."""
    well(peer)
    peer.answers[LOGIN] = (200, {"auth": {"client_token": TOKEN}})
    peer.answers[REVOKE] = (204, {})
    (tmp_path / "jwt").write_text("jwt")
    monkeypatch.setattr(data_keys, "SERVICE_ACCOUNT_TOKEN", tmp_path / "jwt")
    store = VaultKeys(peer.url, role="reader")
    assert store.greet() == "2.3.1"
    assert peer.asked == [LOGIN, SELF, HEALTH, REVOKE]
    peer.answers[SELF] = (403, {"errors": ["permission denied"]})
    peer.answers[REVOKE] = (400, {"errors": ["batch tokens can't be revoked"]})
    with pytest.raises(PermanentError, match="the vault said Forbidden"):
        store.greet()
    assert peer.asked[-1] == REVOKE


@pytest.mark.parametrize(
    ("status", "kind"), [(403, PermanentError), (503, TemporaryError)]
)
def test_a_vault_that_is_sealed_or_does_not_know_us_is_said_so(
    peer: Peer, status: int, kind: type[ModerateError]
) -> None:
    well(peer)
    peer.answers[SELF] = (status, {"errors": [TOKEN]})
    with pytest.raises(kind, match="the login: the vault said") as caught:
        VaultKeys(peer.url, SecretStr(TOKEN)).greet()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "granted"),
    [(["read", "list"], True), (["root"], True), (["deny"], False)],
)
@pytest.mark.parametrize(
    ("version", "path"),
    [(1, "secret/encryption_keys/"), (2, "secret/data/encryption_keys/")],
)
def test_a_vault_says_whether_we_may_read_the_keys(
    peer: Peer, told: list[str], *, granted: bool, version: int, path: str
) -> None:
    peer.answers[CAPABILITIES] = (200, {"capabilities": told})
    store = VaultKeys(peer.url, SecretStr(TOKEN), version=version)
    assert store.may_read() is granted
    (asked,) = json.loads(peer.bodies[-1])["paths"]
    assert asked.startswith(path)


@pytest.fixture
def cluster(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KubernetesKeys:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": peer.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
        str(path),
    )
    return KubernetesKeys("keys", "here")


def test_a_secret_holds_an_entry_for_each_key(
    peer: Peer, cluster: KubernetesKeys
) -> None:
    entry = base64.b64encode(CANARY.encode()).decode()
    peer.answers[SECRET] = (200, {"data": {"pii_key": entry}})
    assert cluster.read("pii_key").get_secret_value() == CANARY
    with pytest.raises(PermanentError, match="no entry of that name"):
        cluster.read("other")


def test_a_secret_that_is_not_there_is_permanent(
    cluster: KubernetesKeys,
) -> None:
    with pytest.raises(PermanentError, match="Secret here/keys: 404"):
        cluster.read("pii_key")
