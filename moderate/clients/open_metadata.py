"""Client of OpenMetadata, for the little that is asked without the framework.

What is written goes through the official framework, which takes seconds to
import. Whether there is anything to write must not cost that.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from moderate.clients.errors import CredentialsRejected, UnreadableAnswer
from moderate.clients.http import (
    Answer,
    HttpClient,
    HttpPermanentError,
    HttpTemporaryError,
    Timeouts,
)
from moderate.redaction import Redactor

TOKEN = "OPEN_METADATA_TOKEN"  # noqa: S105 - a variable's name
RENEWAL = (
    f"check {TOKEN}: a new one is under Settings, Bots, ingestion-bot,"
    " or from `task update-k8s-open-metadata-token`"
)
PAGE = 1000
"""Services of one answer; the server allows no more."""

MOST_PAGES = 100
"""Of a list; one that goes on and on comes to no end."""

_UNAUTHORIZED = frozenset({401, 403})
_SERVICES = "/v1/services/databaseServices"
_NOT_FOUND = 404
_SERVER_ERROR = 500


class _Service(BaseModel):
    id: str
    name: str


class _Paging(BaseModel):
    after: str | None = None


class _Page(BaseModel):
    data: Annotated[list[_Service], Field(max_length=PAGE)]
    paging: _Paging = _Paging()


class OpenMetadata:
    """An OpenMetadata server with our token; shared by threads.

    Methods raise ``CredentialsRejected``, which names the variable, where
    the token is refused, and else the two kinds of HTTP error.

    Args:
        url: Its API, without the version.
        token: The ingestion bot's JWT.
    """

    def __init__(self, url: str, token: SecretStr) -> None:
        self._headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._http = HttpClient(
            url, timeouts=Timeouts(), redactor=Redactor([token])
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def services(self) -> Mapping[str, str]:
        """Return the id of each database service by its name.

        The id tells a server that was wiped from the one that we know.
        """
        found: dict[str, str] = {}
        params: dict[str, Any] = {"limit": PAGE}
        for _ in range(MOST_PAGES):
            page = self._get(_SERVICES, params).parsed(TypeAdapter(_Page))
            found |= {service.name: service.id for service in page.data}
            if not page.paging.after:
                return found
            params["after"] = page.paging.after
        msg = f"OpenMetadata: the list of services has over {MOST_PAGES} pages"
        raise UnreadableAnswer(msg)

    def service_id(self, name: str) -> str | None:
        """Return the id of a database service; ``None``: there is none."""
        try:
            answer = self._get(f"{_SERVICES}/name/{quote(name, safe='')}", {})
        except HttpPermanentError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return answer.parsed(TypeAdapter(_Service)).id

    def _get(self, path: str, params: Mapping[str, Any]) -> Answer:
        try:
            return self._http.request(
                "GET", path, params=params, headers=self._headers
            )
        except HttpPermanentError as error:
            if error.status in _UNAUTHORIZED:
                msg = f"OpenMetadata refuses the token; {RENEWAL} ({error})"
                raise CredentialsRejected(msg) from error
            raise
        except HttpTemporaryError as error:
            if error.status == _SERVER_ERROR:
                # So it answers to a token that only looks like one.
                msg = f"OpenMetadata failed; if it is well, {RENEWAL}"
                raise CredentialsRejected(f"{msg} ({error})") from error
            raise
