"""The data services and their keys."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, HttpUrl, SecretStr

from moderate.settings.fields import (
    Group,
    Name,
    PeerUrl,
)


class KeySource(StrEnum):
    """Where the keys of the data services are kept."""

    NONE = "none"
    FOLDER = "folder"
    VAULT = "vault"
    KUBERNETES = "kubernetes"


class DataServiceSettings(Group):
    """The data services, and the keys of their pseudonyms."""

    title: ClassVar[str] = "Data services"

    scratch_dir: str = Field(
        "",
        alias="DATA_SERVICES_SCRATCH_DIR",
        description="folder of a run's working files, a few times its data; "
        "the system's temporary one by default",
    )
    column_case: str = Field(
        "ident",
        alias="DATA_SERVICES_COLUMN_CASE",
        pattern="^(ident|ignore|exact)$",
        description="where column `Name` is taken for `name`: in `ident`, "
        "the columns to mask; `ignore`: everywhere; `exact`: nowhere",
    )
    key_source: KeySource = Field(
        KeySource.NONE,
        alias="DATA_KEYS_SOURCE",
        description="`none`, `folder`, `vault` (or OpenBao) or `kubernetes`",
    )
    key_folder: str = Field(
        "",
        alias="DATA_KEYS_FOLDER",
        description="folder with a file for each key, such as a mounted "
        "Secret",
    )
    key_secret: Name = Field(
        "moderate-data-keys",
        alias="DATA_KEYS_SECRET",
        description="Kubernetes Secret with an entry for each key",
    )
    key_namespace: Name = Field(
        "default",
        alias="DATA_KEYS_NAMESPACE",
        description="namespace of that Secret",
    )
    vault_url: PeerUrl = Field(
        HttpUrl("https://127.0.0.1:8200"),
        alias="VAULT_ADDR",
        description="URL of OpenBao or Vault, http or https",
    )
    vault_token: SecretStr = Field(
        SecretStr(""),
        alias="VAULT_TOKEN",
        description="a token that may read the keys",
    )
    vault_token_file: str = Field(
        "",
        alias="VAULT_TOKEN_FILE",
        description="file with that token, as an agent writes it",
    )
    vault_role: str = Field(
        "",
        alias="VAULT_ROLE",
        description="role of the Kubernetes auth method, in place of a token",
    )
    vault_mount: Name = Field(
        "secret",
        alias="VAULT_MOUNT",
        description="mount of the key-value engine",
    )
    vault_path: Name = Field(
        "encryption_keys",
        alias="VAULT_KEYS_PATH",
        description="folder of the keys in it",
    )
    vault_version: int = Field(
        2,
        alias="VAULT_KV_VERSION",
        ge=1,
        le=2,
        description="version of the key-value engine, 1 or 2",
    )
