"""The service with a canary in each secret setting, and every wire tapped.

What the service sends to a peer goes through a proxy that keeps it, so that
a secret in the hands of another peer than its own is seen.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from moderate.local.services.s3 import ASSETS_BUCKET
from moderate_tests import canary
from moderate_tests.integration.clients.proxy import Proxy, proxied
from moderate_tests.unit.clients.peer import (
    Answerer,
    Peer,
    Reply,
    Request,
    serving,
)

WRONG = 'c@nary/of {}:+% "wrong"'
"""Signs that every encoding changes."""

URLS = ("API_BASE_URL", "KEYCLOAK_SERVER_URL", "S3_ENDPOINT_URL", "RABBIT_URL")
DATABASE = ("POSTGRES_HOST", "POSTGRES_PORT")
CATALOGUE = ("OPEN_METADATA_HOST", "OPEN_METADATA_PORT")
OWNED: Mapping[str, tuple[str, ...]] = {
    "API_BASE_URL": ("API_PASSWORD", canary.TOKEN),
    "KEYCLOAK_SERVER_URL": ("KEYCLOAK_ADMIN_PASSWORD", canary.TOKEN),
    # Only a signature travels; the link is to an object of its own.
    "S3_ENDPOINT_URL": (canary.LINK,),
    "RABBIT_URL": ("RABBIT_URL",),
    # A proof of knowing the password travels (SCRAM).
    "POSTGRES_HOST": (),
    # It is told of each source how to connect, but never a password.
    "OPEN_METADATA_HOST": ("OPEN_METADATA_TOKEN", canary.TOKEN),
    "VAULT_ADDR": ("VAULT_TOKEN",),
    "NOTIFY_WEBHOOK_URL": ("NOTIFY_WEBHOOK_URL",),
}
"""What each peer is given; nothing else may reach it."""

NO_CATALOGUE = {
    "OPEN_METADATA_HOST": "127.0.0.1",
    "OPEN_METADATA_PORT": "9",
    "OPEN_METADATA_TOKEN": WRONG.format("OPEN_METADATA_TOKEN"),
}
VAULT_TOKEN = "canary/of-the-vault+%41"
HOOK_PATH = "/services/T0/canary-of-the-hook"


def wrong(name: str) -> str:
    """Return a wrong value for a secret setting."""
    return WRONG.format(name)


@dataclass(frozen=True)
class Planted:
    """The environment, and what was heard.

    Attributes:
        environment: Of the service.
        vault: Keeps the key of the data services.
        hook: Takes notices.
        taps: Proxies by the variable that leads to them.
    """

    environment: dict[str, str]
    vault: Peer
    hook: Peer
    taps: Mapping[str, Proxy]

    def broken(self, name: str) -> dict[str, str]:
        """Return the setting of a secret with a wrong one in its place."""
        right = self.environment[name]
        if "://" not in right:
            return {name: wrong(name)}
        secret = urlsplit(right).password or urlsplit(right).path[1:]
        return {name: right.replace(secret, quote(wrong(name), safe=""))}

    def sweep(self, key: str) -> canary.Sweep:
        """Return a search for all that is planted.

        Args:
            key: That of the data services, which is kept in the vault.
        """
        mistakes = {
            f"wrong {name}": wrong(name) for name in canary.secret_variables()
        }
        return canary.Sweep(self.environment, {"a data key": key, **mistakes})

    def heard(self) -> Iterator[tuple[str, Iterator[canary.Text]]]:
        """Yield what each peer was sent, by its variable."""
        for name, tap in self.taps.items():
            text = bytes(tap.heard or b"").decode(errors="replace")
            yield name, iter([("all", text)])
        yield "VAULT_ADDR", _requests(self.vault)
        yield "NOTIFY_WEBHOOK_URL", _requests(self.hook)


def _requests(peer: Peer) -> Iterator[canary.Text]:
    for seen in peer.seen:
        body = seen.body.decode(errors="replace")
        yield seen.path, f"{seen.path} {seen.query} {seen.headers} {body}"


@contextmanager
def planted(
    settings: Mapping[str, str], key: str, folder: Path
) -> Iterator[Planted]:
    """Complete settings by canaries, and tap the wires.

    Args:
        settings: Of peers that are real; the others get a scripted peer, or
            a port where nobody is.
        key: What the vault holds.
        folder: For what the service writes.
    """
    with ExitStack() as opened:
        vault = opened.enter_context(serving())
        hook = opened.enter_context(serving())
        vault.answer = _keeper(key)
        hook.answer = _listener
        taps = {name: _tapped(opened, settings[name]) for name in URLS}
        moved = {n: _moved(settings[n], tap.port) for n, tap in taps.items()}
        for host, port in (DATABASE, CATALOGUE):
            if host in settings:
                taps[host] = opened.enter_context(
                    proxied(settings[host], int(settings[port]), listens=True)
                )
                moved[port] = str(taps[host].port)
        environment = {
            **NO_CATALOGUE,
            **settings,
            **moved,
            "VAULT_ADDR": vault.url,
            "VAULT_TOKEN": VAULT_TOKEN,
            "DATA_KEYS_SOURCE": "vault",
            "NOTIFY_WEBHOOK_URL": f"{hook.url}{HOOK_PATH}",
            "NOTIFY_QUIET_SECONDS": "0",
            "DATA_SERVICES_SCRATCH_DIR": str(folder / "scratch"),
            "DATASETS_WORK_DIR": str(folder / "datasets"),
        }
        yield Planted(environment, vault, hook, taps)


def _keeper(key: str) -> Answerer:
    """Return a vault that tells whoever is refused what was wrong."""

    def answer(request: Request) -> Reply:
        given = request.headers.get("x-vault-token", "")
        if given != VAULT_TOKEN:
            return Reply(403, {"errors": [f"permission denied: {given}"]})
        return Reply(200, {"data": {"data": {"key": key}}})

    return answer


def refuses(_: Request) -> Reply:
    """Be a vault that is closed."""
    return Reply(403, {"errors": ["permission denied"]})


def pseudonymise(folder: str) -> dict[str, Any]:
    """Return the configuration of a job that needs the key in the vault."""
    technique = {"encrypt": {"columns": ["Name"], "key_name": "pii_key"}}
    configs: dict[str, dict[str, Any]] = {
        "read_csv_from_minio": {
            "bucket_name": ASSETS_BUCKET,
            "file_key": f"{folder}/in.csv",
        },
        "write_csv_to_minio": {
            "bucket_name": ASSETS_BUCKET,
            "file_key": f"{folder}/out.csv",
        },
        "anonymize_pseudonymize_structured": {
            "used_function": [{"technique": technique}]
        },
    }
    return {"ops": {op: {"config": configs[op]} for op in configs}}


def _listener(request: Request) -> Reply:
    """Take notices; whoever is refused is told what was wrong."""
    if request.path != HOOK_PATH:
        return Reply(404, text=f"no such hook: {request.path}")
    return Reply(204)


def _tapped(opened: ExitStack, url: str) -> Proxy:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return opened.enter_context(
        proxied(parts.hostname, parts.port, listens=True)
    )


def _moved(url: str, port: int) -> str:
    old = urlsplit(url).port
    return url.replace(f":{old}", f":{port}", 1)
