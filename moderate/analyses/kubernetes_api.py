"""The edge to a cluster's API server: plain JSON in, plain JSON out.

The official client brings address, certificates and tokens (which change
while a pod lives); what is asked stays as the API has it, so that nothing of
an answer is lost in between. Every call has a time limit, and what fails is
said in the three kinds of ``moderate.errors``.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from moderate.analyses.kubernetes_errors import (
    GoneError,
    NotFoundError,
    explained,
    taken_apart,
)
from moderate.analyses.launcher import UnreachableError
from moderate.errors import TemporaryError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

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

BACKGROUND: Json = {"propagationPolicy": "Background"}
"""What deletes a Job's pods too: without a policy they are orphaned."""


class ServerClock:
    """The API server's clock, by the dates of its answers.

    Times in objects are the server's; a worker's clock may be minutes off.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    def hear(self, date: str | None) -> None:
        """Take the header ``Date`` of an answer that has just come."""
        with suppress(OverflowError, TypeError, ValueError):
            there = parsedate_to_datetime(date or "")
            # Raises where the header names no zone.
            self._ahead = there - datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time there (UTC), to about a second."""
        return datetime.now(UTC) + self._ahead


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster.

    Args:
        client: The official client, set up for the cluster.
        namespace: Where Jobs, pods, Secrets and events are.
        clock: Tells the cluster's time.
    """

    client: "ApiClient"
    namespace: str
    clock: ServerClock = field(default_factory=ServerClock, compare=False)

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
        with explained(path):
            answer, _ = self._send(
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
            with explained(path):
                answer, date = self._send(method, path, body=body, query=query)
        except NotFoundError:
            return None
        self.clock.hear(date)
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
    ) -> tuple[Any, str | None]:
        """Return the answer, and when it was given."""
        kind = "application/json"
        if method == "PATCH":
            kind = "application/merge-patch+json"
        answer, _, headers = self.client.call_api(
            path,
            method,
            query_params=[
                (name, _text(value)) for name, value in (query or {}).items()
            ],
            header_params={"Accept": "*/*", "Content-Type": kind},
            body=body,
            response_type="object" if whole else None,
            auth_settings=["BearerToken"],
            _preload_content=whole,
            _request_timeout=(CONNECT_SECONDS, read),
        )
        return answer, headers.get("Date")


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
            token = Path(incluster_config.SERVICE_TOKEN_FILENAME)
            found = _read(token.with_name("namespace"))
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

    return bool(_read(Path(incluster_config.SERVICE_TOKEN_FILENAME)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace_of(context: str) -> str:
    from kubernetes import config

    contexts, current = config.list_kube_config_contexts()
    chosen = current
    if context:
        (chosen,) = [each for each in contexts if each["name"] == context]
    return str(chosen["context"].get("namespace") or "default")
