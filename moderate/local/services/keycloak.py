"""Keycloak: the distribution from Maven Central, in development mode."""

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from moderate.local import cache, install, probes
from moderate.local.command import run_to_end
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.realm import REALM, render_realm
from moderate.local.services.base import HttpService, ignore

VERSION = "26.5.6"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
FETCH_TIMEOUT_SECONDS = 1800
START_TIMEOUT_SECONDS = 180.0
ADMIN = "admin"
HEAP = "-Xms64m -Xmx512m"
# It lives for minutes: the cheap compiler takes a third off its start.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1"
# H2 writes half a second late by default: a killed server would forget.
DATABASE_PROPERTIES = (
    ";NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE;DB_CLOSE_DELAY=0"
    ";WRITE_DELAY=0"
)
SHARED_FOLDERS = ("lib", "providers", "themes", "conf")


class Keycloak(HttpService):
    """A Keycloak server with the platform's realm.

    The unpacked distribution is shared by all stacks of the user. What a
    server writes (its H2 database) lies in its own folder.

    Args:
        folder: Database, realm file and log lie in here.
        port: Where it listens.
        admin_password: Of the user ``admin`` of the realm ``master``.
        realm_secrets: See ``moderate.local.realm.render_realm``.
        log: Its log file.
    """

    name = "keycloak"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        admin_password: str,
        realm_secrets: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log=log)
        self._admin_password = admin_password
        self.realm_secrets = dict(realm_secrets)
        self._home = self.folder / "home"

    def client_environment(self) -> dict[str, str]:
        """URL, administrator and realm."""
        return {
            "KEYCLOAK_SERVER_URL": self.url,
            "KEYCLOAK_ADMIN_USERNAME": ADMIN,
            "KEYCLOAK_ADMIN_PASSWORD": self._admin_password,
            "KEYCLOAK_MAIN_REALM_NAME": REALM,
        }

    def start(self) -> None:
        """Start the server; the first one of a machine prepares the rest.

        The first start rewrites a part of the shared distribution, which no
        other server may do at the same time. When it is cut short, the
        distribution is fetched anew.
        """
        with _cache_locked():
            if not _mark("prepared").exists():
                if _mark("preparing").exists():
                    shutil.rmtree(_distribution())
                _fetch(self.say, self.cancelled)
                _mark("preparing").touch()
                self.say("preparing Keycloak, once a machine")
                super().start()
                _mark("prepared").touch()
        super().start()

    def prepare(self) -> None:
        """Lay out the server's home and the realm to import."""
        imports = self._home / "data" / "import"
        imports.mkdir(parents=True, exist_ok=True)
        shared = _distribution()
        for name in SHARED_FOLDERS:
            link = self._home / name
            if not link.is_symlink():
                link.symlink_to(shared / name)
        # Its start script finds its home by its own real place.
        shutil.copytree(shared / "bin", self._home / "bin", dirs_exist_ok=True)
        realm_file = imports / f"{REALM}-realm.json"
        realm_file.touch(mode=0o600)
        realm_file.write_text(json.dumps(render_realm(self.realm_secrets)))

    def make_process(self) -> Process:
        """The server's Java process, under its start script."""
        return Process(
            self.name,
            [
                *("sh", str(self._home / "bin" / "kc.sh")),
                *("start-dev", "--import-realm"),
                *("--http-host", LOOPBACK, "--http-port", str(self.port)),
            ],
            environment=self.server_environment(
                JAVA=str(install.locate(install.JAVA)),
                JAVA_OPTS_KC_HEAP=HEAP,
                JAVA_OPTS_APPEND=JVM_OPTIONS,
                KC_DB_URL_PROPERTIES=DATABASE_PROPERTIES,
                KC_BOOTSTRAP_ADMIN_USERNAME=ADMIN,
                KC_BOOTSTRAP_ADMIN_PASSWORD=self._admin_password,
            ),
            folder=self.folder,
            log=self.log,
            ready=self.answers,
            start_timeout=START_TIMEOUT_SECONDS,
            cancelled=self.cancelled,
        )

    def answers(self) -> bool:
        """Whether the realm is served."""
        return probes.answers_ok(f"{self.url}/realms/{REALM}")


def fetch_distribution(say: Callable[[str], None] = ignore) -> None:
    """Fetch and unpack the distribution, unless it is there.

    Raises:
        PartError: It could not be fetched.
    """
    with _cache_locked():
        _fetch(say, threading.Event())


def _fetch(say: Callable[[str], None], cancelled: threading.Event) -> None:
    if _distribution().exists():
        return
    folder = cache.cache_folder()
    download = folder / "keycloak-download"
    say(f"fetching Keycloak {VERSION} (165 MB), once a machine")
    run_to_end(
        Keycloak.name,
        "fetching Keycloak",
        [
            str(install.locate(install.MAVEN)),
            *("--batch-mode", "--no-transfer-progress"),
            *("dependency:copy", f"-Dartifact={ARTIFACT}"),
            f"-DoutputDirectory={download}",
        ],
        environment=dict(os.environ),
        folder=folder,
        log=folder / "keycloak-download.log",
        timeout=FETCH_TIMEOUT_SECONDS,
        say=say,
        cancelled=cancelled,
    )
    (archive,) = download.glob(f"*-{VERSION}.zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(download)
    # Moved as a whole, so that what is there is complete.
    (download / _distribution().name).rename(_distribution())
    shutil.rmtree(download)


def _cache_locked() -> AbstractContextManager[None]:
    return cache.locked(cache.cache_folder() / "keycloak.lock")


def _distribution() -> Path:
    return cache.cache_folder() / f"keycloak-{VERSION}"


def _mark(name: str) -> Path:
    return _distribution() / name
