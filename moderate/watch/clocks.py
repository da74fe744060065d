"""How far the peers' clocks are from ours."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import httpx

from moderate.errors import ModerateError
from moderate.settings import Settings
from moderate.watch.findings import Finding, Grade
from moderate.watch.peers import keycloak_clock

HTTP_RESOLUTION = timedelta(seconds=1)
"""An HTTP date has whole seconds."""


def clock_finding(check: str, ahead: timedelta, limit: timedelta) -> Finding:
    """Judge by how much a clock is ahead of ours (behind, if negative)."""
    seconds = ahead.total_seconds()
    found = f"{abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"
    if abs(ahead) <= limit:
        return Finding(check, Grade.OK, found)
    return Finding(
        check,
        Grade.FAULT,
        found,
        "let both machines follow a time server (NTP): tokens and signed"
        " URLs are refused by clocks that differ",
    )


def http_clocks(settings: Settings) -> Iterator[Finding]:
    """Compare our clock with the dates of HTTP answers."""
    bound = settings.operations.probe_timeout.total_seconds()
    for peer, url in _http_peers(settings):
        ahead = _ahead(partial(_date_of, url, bound))
        if ahead is None and peer == "keycloak":
            ahead = _ahead(partial(keycloak_clock, settings))
        if ahead is not None:
            limit = settings.operations.clock_skew + HTTP_RESOLUTION
            yield clock_finding(f"clock of {peer}", ahead, limit)


def _http_peers(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.keycloak:
        yield "keycloak", str(settings.keycloak.server_url)
    if settings.platform_api:
        yield "platform_api", str(settings.platform_api.base_url)
    if settings.s3:
        yield "s3", str(settings.s3.endpoint_url)
    if settings.open_metadata:
        yield "open_metadata", settings.open_metadata.url


def _ahead(ask: Callable[[], datetime | None]) -> timedelta | None:
    """Return by how much a peer's clock is ahead; ``None``: not known.

    It told its time, cut to whole seconds, somewhere between question and
    answer: of all that it may mean the least is taken, so that a slow answer
    is no wrong clock. That a peer is away is another finding.
    """
    before = datetime.now(UTC)
    try:
        told = ask()
    except (httpx.HTTPError, ModerateError):
        return None
    after = datetime.now(UTC)
    if told is None:
        return None
    least, most = told - after, told + HTTP_RESOLUTION - before
    if least <= timedelta() <= most:
        return timedelta()
    return min(least, most, key=abs)


def _date_of(url: str, bound: float) -> datetime | None:
    """Ask for anything: whatever is answered has a date, or it has none."""
    answer = httpx.head(url, timeout=bound)
    try:
        told = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return told if told.tzinfo else None
