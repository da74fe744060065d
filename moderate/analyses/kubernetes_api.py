"""The edge to a cluster's API server: plain JSON in, plain JSON out.

The official client brings address, certificates and tokens (which change
while a pod lives); what is asked stays as the API has it, so that nothing of
an answer is lost in between. Every call has a time limit, and what fails is
said in the three kinds of ``moderate.errors``.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from moderate.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, ApiException

Json = dict[str, Any]
Value = str | int | bool
Query = Mapping[str, Value]

JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
PODS = "/api/v1/namespaces/{namespace}/pods"
SECRETS = "/api/v1/namespaces/{namespace}/secrets"  # a path
EVENTS = "/api/v1/namespaces/{namespace}/events"

CONNECT_SECONDS = 3.0
READ_SECONDS = 6.0
"""Both together stay below the 10 s within which an outcome is to be seen."""

WAITS_SECONDS = (0.3, 1.0, 2.0)
"""Between the tries of one call: a rolling API server is back by then."""

PAGE = 500
"""Objects that one answer holds at the most."""

MOST_PAGES = 200
"""Of one list; one that goes on and on comes to no end."""

MAX_MESSAGE_CHARS = 500
BACKGROUND: Json = {"propagationPolicy": "Background"}
"""What deletes a Job's pods too: without a policy they are orphaned."""

_LOG = logging.getLogger(__name__)


class UnreachableError(TemporaryError):
    """The API server could not be reached, or could not answer now."""


class ConflictError(TemporaryError):
    """The object was changed by another since it was read."""


class ExistsError(ConflictError):
    """An object of this name exists already."""


class GoneError(TemporaryError):
    """The version that a watch was to go on from is forgotten."""


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster.

    Args:
        client: The official client, set up for the cluster.
        namespace: Where Jobs, pods, Secrets and events are.
    """

    client: "ApiClient"
    namespace: str

    def get(self, kind: str, name: str) -> Json | None:
        """Return an object; ``None`` if there is none of this name."""
        with taken_apart():
            found = self._call("GET", self._path(kind, name))
            return found and _checked(found)

    def find(self, kind: str, **query: str) -> list[Json]:
        """Return all objects that ``labelSelector`` and the like choose."""
        return self.find_with_version(kind, **query)[0]

    def find_with_version(
        self, kind: str, **query: str
    ) -> tuple[list[Json], str]:
        """Return the chosen objects, and the version they are as of."""
        try:
            return self._pages(kind, query)
        except GoneError:  # the list changed too much between two pages
            return self._pages(kind, query)

    def _pages(self, kind: str, query: Query) -> tuple[list[Json], str]:
        found: list[Json] = []
        wanted: dict[str, Value] = {**query, "limit": PAGE}
        for _ in range(MOST_PAGES):
            page = self._call("GET", self._path(kind), query=wanted)
            if page is None:
                raise TemporaryError(f"the cluster has no {self._path(kind)}")
            with taken_apart():
                found += map(_checked, page.get("items") or [])
                wanted["continue"] = page["metadata"].get("continue") or ""
                version = str(page["metadata"]["resourceVersion"])
            if not wanted["continue"]:
                return found, version
        msg = f"the cluster's list has over {MOST_PAGES} pages"
        raise TemporaryError(msg)

    def create(self, kind: str, body: Json) -> Json:
        """Create an object.

        Raises:
            ExistsError: There is one of this name.
            PermanentError: The cluster can never accept it.
        """
        made = self._call("POST", self._path(kind), body=body)
        if made is None:
            msg = f"namespace {self.namespace} was not found"
            raise TemporaryError(msg)
        return made

    def patch(self, kind: str, name: str, body: Json) -> Json | None:
        """Merge changes into an object; ``None`` if it is gone.

        Raises:
            ConflictError: ``metadata.resourceVersion`` is in the patch, and
                the object has another by now.
        """
        return self._call("PATCH", self._path(kind, name), body=body)

    def delete(self, kind: str, name: str, options: Json) -> None:
        """Delete an object if it is there (and meets the preconditions)."""
        self._call("DELETE", self._path(kind, name), body=options)

    @contextmanager
    def stream(
        self, path: str, query: Query, read_seconds: float
    ) -> Iterator[Any]:
        """Open an answer that comes bit by bit.

        Args:
            path: As ``watch_path`` or ``log_path`` give it.
            query: Its parameters.
            read_seconds: How long it may be silent.
        """
        with _explained(path):
            answer = self._send(
                "GET", path, query=query, read=read_seconds, whole=False
            )
            try:
                yield answer
            finally:
                answer.close()

    def watch_path(self, kind: str) -> str:
        """Return where the changes of a kind are told."""
        return self._path(kind)

    def log_path(self, pod: str) -> str:
        """Return where a pod's log is."""
        return f"{self._path(PODS, pod)}/log"

    def _path(self, kind: str, name: str = "") -> str:
        path = kind.format(namespace=quote(self.namespace, safe=""))
        return f"{path}/{quote(name, safe='')}" if name else path

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Query | None = None,
    ) -> Json | None:
        """Call, and call again for a while: each call here may be repeated.

        Names are ours, so a repeated creation meets what the first one made.
        """
        for wait in WAITS_SECONDS:
            try:
                return self._call_once(method, path, body=body, query=query)
            except UnreachableError as error:
                asked = error.delay.total_seconds() if error.delay else 0.0
                time.sleep(max(wait, min(asked, WAITS_SECONDS[-1])))
        return self._call_once(method, path, body=body, query=query)

    def _call_once(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Query | None = None,
    ) -> Json | None:
        try:
            with _explained(path):
                answer = self._send(method, path, body=body, query=query)
        except _NotFoundError:
            return None
        return dict(answer) if isinstance(answer, Mapping) else {}

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Query | None = None,
        read: float = READ_SECONDS,
        whole: bool = True,
    ) -> Any:
        kind = "application/json"
        if method == "PATCH":
            kind = "application/merge-patch+json"
        return self.client.call_api(
            path,
            method,
            query_params=[
                (name, _text(value)) for name, value in (query or {}).items()
            ],
            header_params={"Accept": "*/*", "Content-Type": kind},
            body=body,
            response_type="object" if whole else None,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=whole,
            _request_timeout=(CONNECT_SECONDS, read),
        )


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked(thing: Json) -> Json:
    """Return an object that is one: with a name, a spec and a status."""
    name = thing["metadata"]["name"]
    parts = (thing.setdefault("spec", {}), thing.setdefault("status", {}))
    if not isinstance(name, str) or not all(
        isinstance(part, dict) for part in parts
    ):
        raise TypeError
    return thing


@contextmanager
def taken_apart() -> Iterator[None]:
    """Say what it means when an answer is not made as it should be.

    Answers are taken apart without a look at each part: the API server holds
    what it stores to its schema. Something between us and it may not.

    Raises:
        UnreachableError: It is not made so.
    """
    try:
        yield
    except (
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        name = type(error).__name__
        msg = f"the Kubernetes API server's answer is none: {name}"
        raise UnreachableError(msg) from error


class _NotFoundError(TemporaryError):
    """There is no such object."""


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what the client raises into our kinds of error."""
    import urllib3  # noqa: PLC0415  # heavy together with the client
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        raise _error_of(error, path) from None
    except (
        urllib3.exceptions.HTTPError,
        LookupError,
        OSError,
        RecursionError,
        ValueError,
    ) as error:
        # A ValueError is an answer that was cut short, so no JSON; a
        # LookupError one of an encoding that nobody knows.
        name = type(error).__name__
        msg = f"the Kubernetes API server can't be reached: {name}"
        raise UnreachableError(msg) from error


def _error_of(error: "ApiException", path: str) -> Exception:
    body = _status_of(error)
    said = str(body.get("message") or error.reason)[:MAX_MESSAGE_CHARS]
    text = f"Kubernetes API, {path}: {error.status} {said}"
    if body.get("reason") == "AlreadyExists":
        return ExistsError(text)
    # 401 and 403 are temporary: a person mends the Role, and items go on.
    return _ERRORS.get(error.status, TemporaryError)(text)


_ERRORS: Mapping[int, type[PermanentError] | type[TemporaryError]] = {
    404: _NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: PermanentError,
    422: PermanentError,
    **dict.fromkeys((0, 408, 425, 429, 500, 502, 503, 504), UnreachableError),
}


def _status_of(error: "ApiException") -> Json:
    with suppress(RecursionError, TypeError, ValueError):
        body = json.loads(error.body or "")
        if isinstance(body, dict):
            return body
    return {}


def connect(namespace: str = "", context: str = "") -> Cluster:
    """Return the cluster that this process is in, or that kubectl would use.

    Args:
        namespace: By default the pod's own, or that of the context.
        context: A context of the kubeconfig; by default its current one.

    Raises:
        TemporaryError: Neither a cluster nor a kubeconfig was found.
    """
    from kubernetes import client, config
    from kubernetes.config import (
        ConfigException,
        incluster_config,
    )

    settings = client.Configuration()
    try:
        if not context and _is_in_cluster():
            config.load_incluster_config(client_configuration=settings)
            own = incluster_config.SERVICE_TOKEN_FILENAME
            found = _read(own.replace("/token", "/namespace"))
        else:
            config.load_kube_config(
                context=context or None, client_configuration=settings
            )
            found = _namespace_of(context)
    except ConfigException as error:
        msg = f"no access to a Kubernetes cluster: {error}"
        raise TemporaryError(msg) from error
    # The tries are ours: its own don't know which answers mean what.
    settings.retries = False
    return Cluster(client.ApiClient(settings), namespace or found)


def _is_in_cluster() -> bool:
    from kubernetes.config import incluster_config

    return bool(_read(incluster_config.SERVICE_TOKEN_FILENAME))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""


def _namespace_of(context: str) -> str:
    from kubernetes import config

    contexts, current = config.list_kube_config_contexts()
    chosen = current
    if context:
        (chosen,) = [each for each in contexts if each["name"] == context]
    return str(chosen["context"].get("namespace") or "default")
