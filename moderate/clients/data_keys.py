"""Where the keys of the data services are kept: a folder, a vault, a Secret.

Each store has ``read(name)``, which returns the text under a name. No error
holds anything of it.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import SecretStr

from moderate.errors import PermanentError, SettingsError, TemporaryError

if TYPE_CHECKING:
    import hvac

MAX_KEY_BYTES = 65_536
TIMEOUT_SECONDS = 10
KEY_FIELD = "key"
"""Of a vault's secret."""

NO_KEY = "moderate-doctor"
"""A key that nobody makes: asked for is only whether it might be read."""

SERVICE_ACCOUNT_TOKEN = Path(
    "/var/run/secrets/kubernetes.io/serviceaccount/token"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_TOO_MANY, _SERVER_ERROR = 429, 500
_VERSIONED = 2
_NO_ANSWER = (
    AttributeError,
    LookupError,
    RecursionError,  # of an answer with too many brackets
    TypeError,
    ValueError,
)
"""The vault's library takes answers apart without looking."""


def check_name(name: str) -> str:
    """Return a key's name if it is one: it becomes part of a path.

    Raises:
        PermanentError: It is none.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name[:80]!r} is no name of a key: letters, digits, . _ -"
        raise PermanentError(msg)
    return name


@dataclass(frozen=True)
class FolderKeys:
    """A file for each key: on a laptop, or a Secret mounted as a folder."""

    folder: Path

    def read(self, name: str) -> SecretStr:
        """Return what the file of that name holds.

        Raises:
            PermanentError: There is none, or it can't be read.
        """
        path = self.folder / check_name(name)
        try:
            with path.open(encoding="utf-8") as file:
                return SecretStr(file.read(MAX_KEY_BYTES).strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            msg = f"key {name!r} can't be read from the folder: {reason}"
            raise PermanentError(msg) from None


@dataclass(frozen=True)
class VaultKeys:
    """OpenBao or Vault: ``<mount>/<path>/<name>``, field ``key``.

    Attributes:
        url: Of the server.
        token: Not given: read from ``token_file``, or got for ``role``.
        token_file: As an agent writes it.
        role: Of the Kubernetes auth method, if that is what logs in.
        mount: Of the key-value engine.
        path: Folder in it.
        version: Of the engine, 1 or 2.
        timeout: Seconds of each call.
    """

    url: str
    token: SecretStr | None = None
    token_file: str = ""
    role: str = ""
    mount: str = "secret"
    path: str = "encryption_keys"
    version: int = 2
    timeout: float = TIMEOUT_SECONDS

    def read(self, name: str) -> SecretStr:
        """Return the field ``key`` of the secret of that name.

        Raises:
            PermanentError: There is none, or we may not read it.
            TemporaryError: The server can't be reached.
        """
        where = f"{self.path}/{check_name(name)}"
        with _translated(f"key {name!r}", f"{self.mount}/{where}"):
            found = self._fields(where)
        value = found.get(KEY_FIELD)
        if isinstance(value, list):
            value = "\n".join(map(str, value))
        if not isinstance(value, str):
            msg = f"key {name!r}: {self.mount}/{where} has no field `key`"
            raise PermanentError(msg)
        return SecretStr(value)

    def greet(self) -> str:
        """Log in, and return the server's version; leave no login behind.

        Raises:
            PermanentError: It refuses us.
            TemporaryError: It can't be reached, or is sealed.
            SettingsError: Nothing says who we are.
        """
        with _translated("the login", "sys/health"):
            with self._login() as client:
                client.auth.token.lookup_self()
                health = client.sys.read_health_status(
                    method="GET", standby_ok=True, performance_standby_code=200
                )
            return str(health["version"])

    def may_read(self) -> bool:
        """Say whether our token may read any key of the folder.

        Raises:
            ModerateError: As for ``greet``.
        """
        folder = "data/" if self.version == _VERSIONED else ""
        path = f"{self.mount}/{folder}{self.path}/{NO_KEY}"
        with _translated("our rights", "sys/capabilities-self"):
            with self._login() as client:
                told = client.sys.get_capabilities([path])["capabilities"]
            return not {"read", "root", "sudo"}.isdisjoint(told)

    @contextmanager
    def _login(self) -> Iterator["hvac.Client"]:
        """Give up a token that was got for this; asked often, they pile up."""
        from hvac import exceptions

        client = self._client()
        try:
            yield client
        finally:
            given = self.token and self.token.get_secret_value()
            if not given and not self.token_file:
                # One of type `batch` can't be given up: it ends by itself.
                with suppress(exceptions.VaultError):
                    client.auth.token.revoke_self()

    def _fields(self, where: str) -> dict[str, Any]:
        kv = self._client().secrets.kv
        if self.version == 1:
            answer = kv.v1.read_secret(where, mount_point=self.mount)
            return dict(answer["data"])
        answer = kv.v2.read_secret_version(
            where, mount_point=self.mount, raise_on_deleted_version=True
        )
        return dict(answer["data"]["data"])

    def _client(self) -> "hvac.Client":
        import hvac

        client = hvac.Client(url=self.url, token="", timeout=self.timeout)
        if self.token and self.token.get_secret_value():
            client.token = self.token.get_secret_value()
        elif self.token_file:
            client.token = _text_of(Path(self.token_file))
        elif self.role:
            client.auth.kubernetes.login(
                self.role, _text_of(SERVICE_ACCOUNT_TOKEN)
            )
        else:
            msg = "set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_ROLE"
            raise SettingsError(msg)
        return client


@contextmanager
def _translated(about: str, where: str) -> Iterator[None]:
    """Turn whatever the vault's library raises into one of our kinds.

    Args:
        about: What was asked for.
        where: The path that was asked.
    """
    import requests  # noqa: PLC0415  # hvac's own
    from hvac import exceptions

    try:
        yield
    except exceptions.InvalidPath:
        msg = f"{about}: the vault has no {where}"
        raise PermanentError(msg) from None
    except exceptions.VaultError as error:
        _raise_for(about, type(error).__name__)
    except requests.RequestException as error:
        msg = f"{about}: the vault: {type(error).__name__}"
        raise TemporaryError(msg) from None
    except _NO_ANSWER as error:
        said = type(error).__name__
        msg = f"{about}: the vault's answer is none: {said}"
        raise TemporaryError(msg) from None


def _raise_for(about: str, said: str) -> NoReturn:
    msg = f"{about}: the vault said {said}"
    if said in {"InternalServerError", "VaultDown", "RateLimitExceeded"}:
        raise TemporaryError(msg) from None
    raise PermanentError(msg) from None


@dataclass(frozen=True)
class KubernetesKeys:
    """A Secret, read through the Kubernetes API: an entry for each key."""

    secret: str
    namespace: str

    def read(self, name: str) -> SecretStr:
        """Return the Secret's entry of that name.

        Raises:
            PermanentError: There is none, or we may not read it.
            TemporaryError: The API can't be reached.
        """
        import urllib3  # noqa: PLC0415
        from kubernetes import client

        check_name(name)
        about = f"key {name!r}: Secret {self.namespace}/{self.secret}"
        try:
            with _kubernetes() as api:
                found = client.CoreV1Api(api).read_namespaced_secret(
                    self.secret,
                    self.namespace,
                    _request_timeout=TIMEOUT_SECONDS,
                )
        except client.ApiException as error:
            msg = f"{about}: {error.status} {error.reason}"
            status = error.status or _SERVER_ERROR
            if status == _TOO_MANY or status >= _SERVER_ERROR:
                raise TemporaryError(msg) from None
            raise PermanentError(msg) from None
        except urllib3.exceptions.HTTPError as error:
            msg = f"{about}: {type(error).__name__}"
            raise TemporaryError(msg) from None
        entry = (found.data or {}).get(name)
        if entry is None:
            msg = f"{about} has no entry of that name"
            raise PermanentError(msg)
        return _decoded(entry, about)


def _kubernetes() -> Any:
    """Return an API client: inside a cluster, or by the user's kubeconfig."""
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=settings)
        except config.ConfigException:
            msg = "there is no Kubernetes: neither a pod nor a kubeconfig"
            raise SettingsError(msg) from None
    return client.ApiClient(settings)


def _decoded(entry: str, about: str) -> SecretStr:
    try:
        return SecretStr(base64.b64decode(entry).decode().strip())
    except (binascii.Error, UnicodeDecodeError):
        msg = f"{about}: the entry is no text"
        raise PermanentError(msg) from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise SettingsError(msg) from None
