"""Postgres: the system's programs on a data folder and port of our own."""

import os
import pwd
import shutil
import signal
import stat
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from moderate.local import install
from moderate.local.command import run_to_end
from moderate.local.ports import LOOPBACK
from moderate.local.process import Process
from moderate.local.services.base import Service

SUPERUSER = "moderate"
DAGSTER_DATABASE = "dagster"
# Postgres refuses to run as root; Debian's package makes this user.
UNPRIVILEGED_USER = "postgres"
CONNECT_TIMEOUT_SECONDS = 3
INITDB_TIMEOUT_SECONDS = 120
MAX_CONNECTIONS = 300


class Postgres(Service):
    """A Postgres server with password authentication on the loopback.

    Args:
        folder: Data and log lie in here.
        port: Where it listens.
        password: Of the superuser ``moderate``.
        durable: False turns off ``fsync``: for tests, where the machine
            never loses power (a killed server still loses nothing).
        log: Its log file.
    """

    name = "postgres"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        password: str,
        durable: bool = True,
        log: Path | None = None,
    ) -> None:
        super().__init__(folder, log=log)
        self.port = port
        self._password = password
        self._durable = durable
        self.data = self.folder / "data"

    @property
    def ports(self) -> tuple[int, ...]:
        """The one port."""
        return (self.port,)

    def client_environment(self) -> dict[str, str]:
        """Host, port, user and password."""
        return {
            "POSTGRES_HOST": LOOPBACK,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USERNAME": SUPERUSER,
            "POSTGRES_PASSWORD": self._password,
        }

    def url(self, database: str) -> str:
        """A connection URL, password included, for ``database``."""
        login = f"{SUPERUSER}:{self._password}"
        return f"postgresql://{login}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data folder, unless there is one."""
        if self.data.exists():
            return
        # Made elsewhere and moved, so that a half-made one is never used.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give_away(unfinished)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as password:
            password.write(self._password)
            password.flush()
            self._give_away(password.name)
            self._initdb(unfinished, password.name)
        unfinished.rename(self.data)

    @staticmethod
    def _give_away(path: Path | str) -> None:
        if os.geteuid() == 0:
            shutil.chown(path, UNPRIVILEGED_USER)

    def _initdb(self, data: Path, password_file: str) -> None:
        run_to_end(
            self.name,
            "making the data folder",
            [
                *_unprivileged(self.folder),
                str(install.locate(install.POSTGRES) / "initdb"),
                *("--pgdata", str(data), "--username", SUPERUSER),
                *("--pwfile", password_file, "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8"),
                *(() if self._durable else ("--no-sync",)),
            ],
            environment=self.server_environment(),
            folder=Path("/"),
            log=self.log,
            timeout=INITDB_TIMEOUT_SECONDS,
            say=self.say,
            cancelled=self.cancelled,
        )

    def make_process(self) -> Process:
        """The postmaster."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            "logging_collector": "off",
        }
        if not self._durable:
            # Not `synchronous_commit`: without it a killed server forgets
            # what it has just confirmed.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [f"--{key}={value}" for key, value in settings.items()]
        programs = install.locate(install.POSTGRES)
        return Process(
            self.name,
            [
                *_unprivileged(self.folder),
                str(programs / "postgres"),
                *("-D", str(self.data)),
                *options,
            ],
            environment=self.server_environment(),
            folder=Path("/"),
            log=self.log,
            ready=self.answers,
            stop_signal=signal.SIGINT,  # Does not wait for idle clients.
            cancelled=self.cancelled,
        )

    def settle(self) -> None:
        """Make the database of Dagster; the inbox makes its own."""
        self.create_database(DAGSTER_DATABASE)

    def create_database(self, name: str, *, template: str = "") -> None:
        """Make the database ``name`` unless there is one.

        Args:
            name: Of the new database.
            template: The database to copy; an empty one if not given.
        """
        source = template or "template1"
        with self._connect() as connection:
            row = connection.execute(
                "select 1 from pg_database where datname = %s", [name]
            ).fetchone()
            if row is None:
                connection.execute(
                    sql.SQL("create database {} template {}").format(
                        sql.Identifier(name), sql.Identifier(source)
                    )
                )

    def drop_database(self, name: str) -> None:
        """Drop a database, with whoever is still connected to it."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(
                    sql.Identifier(name)
                )
            )

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self.url("postgres"),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )

    def answers(self) -> bool:
        """Whether the server takes connections."""
        try:
            with self._connect() as connection:
                connection.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged(folder: Path) -> list[str]:
    """What goes before a command so that it does not run as root.

    As another user, a folder below root's home could not be reached; where
    it is so, the command keeps root's right to pass through folders.
    """
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    command = [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--init-groups",
        # The guard's wish; a change of user takes it away.
        "--pdeathsig=KILL",
    ]
    if not _reachable_by_all(folder):
        rights = "+dac_override"
        command += [f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    return [*command, "--"]


def _reachable_by_all(folder: Path) -> bool:
    return all(
        each.stat().st_mode & stat.S_IXOTH
        for each in (folder, *folder.parents)
    )
