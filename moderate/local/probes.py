"""Short questions whether a service serves yet."""

import httpx

TIMEOUT_SECONDS = 2.0


def answers_ok(url: str) -> bool:
    """Whether a GET of ``url`` is answered with 200."""
    return _status(url) == 200


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered at all."""
    return _status(url) is not None


def _status(url: str) -> int | None:
    try:
        # No proxy of the environment stands before the loopback interface.
        return httpx.get(
            url, timeout=TIMEOUT_SECONDS, trust_env=False
        ).status_code
    except httpx.TransportError:
        return None
