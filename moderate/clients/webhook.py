"""Tells a webhook of something: one POST of JSON.

The URL is a secret, as chat services put their token in it: so nothing of it
is in an error.
"""

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr
from tenacity import (
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from moderate.clients.http import RETRYABLE_STATUSES
from moderate.errors import PermanentError, TemporaryError

ATTEMPTS = 3
TIMEOUT_SECONDS = 5.0
LONGEST_TEXT = 3_000
"""Characters that a chat shows of one text."""

_SERVER_ERROR = 500


class Webhook:
    """Where notices go.

    Args:
        url: Of the webhook, with whatever token it has.
        text_only: Send a notice's ``text`` and nothing else, as chats that
            take Slack's messages want it.
        timeout: Seconds of each step of an attempt.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        text_only: bool = False,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._url = url
        self._text_only = text_only
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @retry(
        retry=retry_if_exception_type(TemporaryError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        reraise=True,
    )
    def post(self, notice: Mapping[str, Any]) -> None:
        """Send a notice; it may arrive twice if an answer was lost.

        Args:
            notice: Says in ``text`` all that a person must know.

        Raises:
            PermanentError: The webhook refused it.
            TemporaryError: It did not take it, ``ATTEMPTS`` times in a row.
        """
        try:
            with httpx.Client(timeout=self._timeout) as client:
                status = client.post(
                    self._url.get_secret_value(), json=self._body(notice)
                ).status_code
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            msg = "the webhook's URL is none"
            raise PermanentError(msg) from None
        except httpx.HTTPError as error:
            msg = f"the webhook: {type(error).__name__}"
            raise TemporaryError(msg) from None
        if status >= _SERVER_ERROR or status in RETRYABLE_STATUSES:
            msg = f"the webhook said {status}"
            raise TemporaryError(msg)
        if not httpx.codes.is_success(status):
            msg = f"the webhook refused: {status}"
            raise PermanentError(msg)

    def _body(self, notice: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._text_only:
            return dict(notice)
        return {"text": _escaped(str(notice.get("text", "")))}


def _escaped(text: str) -> str:
    """Return text that makes no link and calls nobody in a chat.

    Source: Slack, "Formatting text for app surfaces", escaping.
    """
    short = text[:LONGEST_TEXT]
    return (
        short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
