"""Client of the platform API, as its gateway serves it.

Beside the rules of ``moderate.clients.http``, what the API means is known
here, from answers of the running service:

- An answer of the API itself says ``detail``; the gateway does not. A 404
  without it is a wrong base URL and a 403 without it is our account's lack of
  a role: neither is the fault of the object that was asked for, so neither is
  permanent.
- A 401 after a renewed token is ``CredentialsRejected``.
- 409 on a DID or a proof means that another request was faster: temporary.
- 500 is often the request's own fault. It cannot be told apart, so it is
  temporary; whoever retries has a cap.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import httpx
from pydantic import AfterValidator, Field, SecretStr, TypeAdapter

from moderate.clients.errors import CredentialsRejected, UnreadableAnswer
from moderate.clients.http import (
    Answer,
    HttpClient,
    HttpPermanentError,
    HttpTemporaryError,
    Timeouts,
)
from moderate.clients.platform_models import (
    ApiModel,
    Asset,
    AssetObject,
    DidAnswer,
    DidExists,
    Job,
    JobResults,
    ProofAnswer,
    ProofExists,
    Task,
    TaskStarted,
    TaskState,
)
from moderate.clients.tokens import Token, TokenAuth
from moderate.errors import TemporaryError
from moderate.redaction import Redactor

__all__ = [
    "Asset",
    "AssetObject",
    "DidAnswer",
    "DidExists",
    "Job",
    "JobResults",
    "PlatformApi",
    "ProofAnswer",
    "ProofExists",
    "Task",
    "TaskStarted",
    "TaskState",
]

PAGE_LIMIT = 100
"""Most objects that the API lists at once."""

JOB_DEBOUNCE = timedelta(seconds=10)
"""The API takes one job of a user and type in this time."""

MOST_OBJECTS = 100
"""Objects that the API lets an asset have."""

UPLOAD_TIMEOUTS = Timeouts(read=120.0, write=60.0)
"""The API answers an upload when it has stored the file in S3."""

SLOWEST_STORE = 1024 * 1024
"""Bytes that the API stores in a second, at the least."""

_DEBOUNCED = "try again later"
_TOTAL_COUNT = "X-Total-Count"
_COUNT = re.compile(r"[0-9]{1,18}")
_ACCOUNT = "check API_BASE_URL, API_USERNAME and API_PASSWORD"


class _Account(ApiModel):
    """Who the API takes us for; not every version says so."""

    is_admin: bool | None = None


class Greeting(ApiModel):
    """What the API says to who asks whether it is there."""

    user: _Account = Field(default_factory=_Account)

    @property
    def is_admin(self) -> bool | None:
        """Say whether our account has all rights; ``None``: not told."""
        return self.user.is_admin


def _for_a_header(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        msg = "a token of printable ASCII characters is expected"
        raise ValueError(msg)
    return token


class _GrantedToken(ApiModel):
    access_token: Annotated[SecretStr, AfterValidator(_for_a_header)]
    expires_in: Annotated[float, Field(allow_inf_nan=False)]


_ASSET = TypeAdapter(Asset)
_ASSETS = TypeAdapter(list[Asset])
_DID_ANSWER: TypeAdapter[DidAnswer] = TypeAdapter(DidAnswer)
_JOB = TypeAdapter(Job)
_OBJECT = TypeAdapter(AssetObject)
_OBJECTS = TypeAdapter(list[AssetObject])
_PROOF_ANSWER: TypeAdapter[ProofAnswer] = TypeAdapter(ProofAnswer)
_GREETING = TypeAdapter(Greeting)
_TASK = TypeAdapter(Task)
_TOKEN = TypeAdapter(_GrantedToken)


class PlatformApi:
    """The platform API with our account; shared by threads.

    A token is got with the first call. Every method may raise
    ``HttpPermanentError``, ``HttpTemporaryError``, ``CredentialsRejected``
    and ``UnreadableAnswer``; what a method adds, it says.

    Args:
        base_url: The gateway's URL.
        username: Our account, which has the role ``api_admin``.
        password: Its password.
        timeouts: Bounds of each call, uploads excepted.
        transport: Stands in for the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        username: str,
        password: SecretStr,
        *,
        timeouts: Timeouts | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._username = username
        self._password = password
        with ExitStack() as opened:
            self._anonymous, self._http = (
                opened.enter_context(
                    HttpClient(
                        base_url,
                        auth=auth,
                        timeouts=timeouts,
                        redactor=Redactor([password]),
                        transport=transport,
                    )
                )
                for auth in (None, TokenAuth(self._login))
            )
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()

    def ping(self) -> Greeting:
        """Ask the API who it takes us for: it is there, and knows us."""
        return self._ask("GET", "/ping").parsed(_GREETING)

    # Jobs

    def get_job(self, job_id: int) -> Job | None:
        """Return a job of any user; ``None`` when there is none."""
        answer = self._ask_for("GET", f"/job/{job_id}")
        return answer.parsed(_JOB) if answer else None

    def finalise_job(self, job_id: int, results: JobResults) -> Job:
        """Tell the platform a job's outcome.

        A second call overwrites the first: who calls makes sure that there
        is one final word only.

        Raises:
            HttpPermanentError: With status 404 when there is no such job.
        """
        answer = self._ask(
            "PATCH",
            f"/job/{job_id}",
            json={"results": results.model_dump()},
            admins_only=True,
        )
        return answer.parsed(_JOB)

    def count_jobs(self) -> int:
        """Return how many jobs all users have, finalised ones included.

        The list itself shows only our own; its count is the whole table's.
        """
        answer = self._ask("GET", "/job", params={"limit": 1})
        count = answer.headers.get(_TOTAL_COUNT, "")
        if not _COUNT.fullmatch(count):
            msg = f"GET /job: {_TOTAL_COUNT} is {count[:20]!r}"
            raise UnreadableAnswer(msg)
        return int(count)

    def create_job(
        self, job_type: str, object_id: int, analysis_variable: str
    ) -> Job:
        """Post a job on an asset object.

        Not to be repeated blindly: each call that succeeds is a new job.

        Raises:
            HttpTemporaryError: Also within ``JOB_DEBOUNCE`` of the account's
                last job of the type.
        """
        arguments = {
            "uploaded_s3_object_id": object_id,
            "analysis_variable": analysis_variable,
        }
        body = {"job_type": job_type, "arguments": arguments}
        try:
            return self._ask("POST", "/job", json=body).parsed(_JOB)
        except HttpPermanentError as error:
            if _DEBOUNCED not in error.detail:
                raise
            raise HttpTemporaryError(
                str(error), error.failure, delay=JOB_DEBOUNCE
            ) from error

    # Assets and their objects

    def get_object(self, object_id: int) -> AssetObject | None:
        """Return an object of any asset; ``None`` when there is none."""
        found = self._list_objects([["id", "eq", object_id]], limit=1)
        return found[0] if found else None

    def list_objects_without_proof(
        self, after_id: int, limit: int = PAGE_LIMIT
    ) -> list[AssetObject]:
        """Return objects that lack a proof, by ascending id.

        Args:
            after_id: Only ids above; the last id of a page leads to the next.
            limit: At most ``PAGE_LIMIT``.
        """
        return self._list_objects(
            [["proof_id", "eq", None], ["id", "gt", after_id]], limit
        )

    def _list_objects(
        self, filters: Sequence[Sequence[str | int | None]], limit: int
    ) -> list[AssetObject]:
        params = {
            "filters": json.dumps(filters),
            "sorts": json.dumps([["id", "asc"]]),
            "limit": limit,
        }
        answer = self._ask(
            "GET", "/asset/object", params=params, admins_only=True
        )
        return answer.parsed(_OBJECTS)

    def create_asset(
        self,
        name: str,
        *,
        uuid: str | None = None,
        access_level: str = "private",
        description: str | None = None,
        ownerless: bool = False,
    ) -> Asset:
        """Create an asset.

        Args:
            name: Need not be unique.
            uuid: Makes the call safe to repeat; chosen by the API otherwise.
            access_level: ``private``, ``visible`` or ``public``.
            description: For people.
            ownerless: Public and nobody's: anyone may upload into it.

        Raises:
            HttpPermanentError: With status 409 when the uuid is taken.
        """
        body = {
            "name": name,
            "access_level": access_level,
            "description": description,
            "is_public_ownerless": ownerless,
        }
        if uuid is not None:
            body["uuid"] = uuid
        return self._ask("POST", "/asset", json=body).parsed(_ASSET)

    def find_asset(self, uuid: str) -> Asset | None:
        """Return the asset of a uuid if our account may read it."""
        params = {"filters": json.dumps([["uuid", "eq", uuid]]), "limit": 1}
        found = self._ask("GET", "/asset", params=params).parsed(_ASSETS)
        return found[0] if found else None

    def list_objects_of_asset(self, asset_id: int) -> list[AssetObject]:
        """Return an asset's objects, by ascending id.

        The API lets an asset have at most ``MOST_OBJECTS``.
        """
        found: list[AssetObject] = []
        is_full = True
        while is_full:
            last = found[-1].id if found else 0
            page = self._list_objects(
                [["asset_id", "eq", asset_id], ["id", "gt", last]], PAGE_LIMIT
            )
            if page and page[-1].id <= last:
                # It would be asked for again and again.
                msg = f"GET /asset/object: not by ascending id above {last}"
                raise UnreadableAnswer(msg)
            found += page
            is_full = len(page) == PAGE_LIMIT
        return found

    def delete_object(self, asset_id: int, object_id: int) -> bool:
        """Remove an object; ``False`` where the API does not let us.

        That our account may do so in an asset without owner is not recorded.
        One that is gone already counts as removed by us.
        """
        path = f"/asset/{asset_id}/object/{object_id}"
        try:
            self._ask("DELETE", path)
        except (HttpPermanentError, CredentialsRejected):
            # Refused by the API or by the gateway; a wrong account fails
            # with the next line too.
            return self.get_object(object_id) is None
        return True

    def upload_object(
        self,
        asset_id: int,
        filename: str,
        content: bytes | Path,
        *,
        tags: Mapping[str, str] | None = None,
        name: str | None = None,
        series_id: str | None = None,
    ) -> AssetObject:
        """Upload a file into an asset of ours or a public one.

        A file is streamed and never held in memory.

        Never deduplicated: each call that succeeds is a new object.

        Args:
            asset_id: The asset.
            filename: Part of the object's key, which the API makes unique.
            content: The bytes, or the file that holds them; not empty.
            tags: Kept with the object.
            name: For people.
            series_id: What the versions of a file have in common.
        """
        form = {
            "name": name,
            "tags": json.dumps(tags) if tags else None,
            "series_id": series_id,
        }
        with ExitStack() as opened:
            body = (
                opened.enter_context(content.open("rb"))
                if isinstance(content, Path)
                else content
            )
            answer = self._ask(
                "POST",
                f"/asset/{asset_id}/object",
                files={"obj": (filename, body)},
                data={k: v for k, v in form.items() if v is not None},
                timeouts=_upload_timeouts(content),
            )
        return answer.parsed(_OBJECT)

    # Trust

    def request_did(self, username: str) -> DidAnswer:
        """Ask for a user's DID.

        Harmless to repeat: a user has one DID; of two tasks for the same user
        one fails, saying that the DID was created in the meantime.

        Args:
            username: Any text; the API does not ask Keycloak for it.
        """
        answer = self._ask(
            "POST",
            "/user/did",
            json={"username": username},
            also_temporary={httpx.codes.CONFLICT},
        )
        return answer.parsed(_DID_ANSWER)

    def request_proof(self, object_key_or_id: str | int) -> ProofAnswer | None:
        """Ask for an object's integrity proof; ``None``: no such object.

        Harmless to repeat, as ``request_did`` is. That the owner lacks a DID
        is told by the task only.
        """
        answer = self._ask_for(
            "POST",
            "/asset/proof",
            json={"object_key_or_id": object_key_or_id},
            also_temporary={httpx.codes.CONFLICT},
        )
        return answer.parsed(_PROOF_ANSWER) if answer else None

    def get_task(self, task_id: int) -> Task | None:
        """Return a DID's or a proof's task; ``None`` when there is none.

        Both kinds are in one table, and either path serves both.
        """
        answer = self._ask_for("GET", f"/user/did/task/{task_id}")
        return answer.parsed(_TASK) if answer else None

    # How we ask

    def _ask_for(
        self, method: str, path: str, **options: Any
    ) -> Answer | None:
        """Send a request about one thing; ``None`` if it does not exist."""
        try:
            return self._ask(method, path, **options)
        except HttpPermanentError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def _ask(
        self,
        method: str,
        path: str,
        *,
        also_temporary: Collection[int] = (),
        admins_only: bool = False,
        **options: Any,
    ) -> Answer:
        try:
            return self._http.request(method, path, **options)
        except HttpPermanentError as error:
            if error.status in also_temporary:
                raise HttpTemporaryError(str(error), error.failure) from error
            if meant := _fault_of_installation(error, admins_only=admins_only):
                raise meant from error
            raise

    def _login(self) -> Token:
        form = {
            "username": self._username,
            "password": self._password.get_secret_value(),
        }
        try:
            # The gateway compares the content type exactly; this is the one
            # that httpx sends, without a charset.
            answer = self._anonymous.request("POST", "/api/token", data=form)
        except HttpPermanentError as error:
            msg = f"the platform API rejects our account: {error}; {_ACCOUNT}"
            raise CredentialsRejected(msg) from error
        granted = answer.parsed(_TOKEN)
        return Token(granted.access_token, granted.expires_in)


def _upload_timeouts(content: bytes | Path) -> Timeouts:
    """Return longer ones for larger files: the answer comes at the end."""
    size = (
        content.stat().st_size if isinstance(content, Path) else len(content)
    )
    return replace(
        UPLOAD_TIMEOUTS, read=UPLOAD_TIMEOUTS.read + size / SLOWEST_STORE
    )


def _fault_of_installation(
    error: HttpPermanentError, *, admins_only: bool
) -> TemporaryError | None:
    """Return what a refusal means that is not about the thing asked for."""
    said_by_api = (
        isinstance(error.failure.body, dict) and "detail" in error.failure.body
    )
    match error.status:
        case httpx.codes.UNAUTHORIZED:
            return CredentialsRejected(f"{error}; {_ACCOUNT}")
        case httpx.codes.FORBIDDEN if admins_only or not said_by_api:
            msg = f"{error}; has the account of API_USERNAME lost its role?"
            return CredentialsRejected(msg)
        case httpx.codes.NOT_FOUND if not said_by_api:
            msg = f"{error}: no such route; is API_BASE_URL right?"
            return HttpTemporaryError(msg, error.failure)
    return None
