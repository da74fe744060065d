"""What the ops of data services need: scratch space, keys, object storage."""

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr, SecretStr

from moderate.clients.data_keys import FolderKeys, KubernetesKeys, VaultKeys
from moderate.connections import vault_keys
from moderate.errors import SettingsError
from moderate.resources import S3Resource
from moderate.settings import (
    DataServiceSettings,
    KeySource,
    process_settings,
)

PREFIX = "moderate-data-"


class NamedS3Resource(S3Resource):
    """The object storage, by the name that run configurations give it.

    Settings ``S3_*`` say where it is.
    """

    resource_name: str = Field(
        default="selfS3", description="a name for people"
    )


class NoKeys:
    """Stands where no store of keys is set up."""

    def read(self, name: str) -> SecretStr:
        """Say what is missing.

        Raises:
            SettingsError: Always.
        """
        msg = f"key {name!r}: no store of keys is set up: DATA_KEYS_SOURCE"
        raise SettingsError(msg)


class DataKeysResource(ConfigurableResource[None]):
    """Where the keys are; settings ``DATA_KEYS_*`` and ``VAULT_*``."""

    def store(self) -> FolderKeys | KubernetesKeys | NoKeys | VaultKeys:
        """Return what reads keys by name."""
        return store_of(process_settings().data_services)


def store_of(
    settings: DataServiceSettings,
) -> FolderKeys | KubernetesKeys | NoKeys | VaultKeys:
    """Return the store that some settings name.

    Raises:
        SettingsError: The folder is not named.
    """
    match settings.key_source:
        case KeySource.FOLDER:
            if not settings.key_folder:
                msg = "DATA_KEYS_SOURCE is `folder`: set DATA_KEYS_FOLDER"
                raise SettingsError(msg)
            return FolderKeys(Path(settings.key_folder))
        case KeySource.KUBERNETES:
            return KubernetesKeys(settings.key_secret, settings.key_namespace)
        case KeySource.VAULT:
            return vault_keys(settings)
        case KeySource.NONE:
            return NoKeys()


class ScratchResource(ConfigurableResource[None]):
    """A folder of the run's own; it ends with the run.

    Runs that were killed leave theirs: the next one to begin takes them away
    (their locks are free), for they may hold personal data.
    """

    _lock: IO[Any] | None = PrivateAttr(default=None)
    _folder: Path | None = PrivateAttr(default=None)

    def setup_for_execution(
        self, context: InitResourceContext  # noqa: ARG002  # as the base
    ) -> None:
        """Make the folder; those of killed runs go."""
        chosen = process_settings().data_services.scratch_dir
        base = Path(chosen or tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        for lock in base.glob(f"{PREFIX}*.lock"):
            _remove_if_dead(lock)
        path = base / f"{PREFIX}{uuid4().hex}"
        self._lock = path.with_name(f"{path.name}.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        path.mkdir(mode=0o700)
        self._folder = path

    def teardown_after_execution(
        self, context: InitResourceContext  # noqa: ARG002  # as the base
    ) -> None:
        """Delete the folder."""
        if self._lock and self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()

    @property
    def folder(self) -> Path:
        """The folder, while the run lasts."""
        if self._folder is None:
            msg = "the scratch folder exists in a run only"
            raise SettingsError(msg)
        return self._folder


def _remove_if_dead(lock: Path) -> None:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock.with_suffix("")
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return  # It lives, is gone already, or is another user's.
