"""Whether the platform API is there at all.

A call that fails says little: the request may be at fault, or the API may be
away. So it is followed by a call that always works where the API does.
"""

import logging
import time

from moderate.clients.platform_api import PlatformApi
from moderate.errors import ModerateError, TemporaryError

PROBE_TASK = 1
"""Read to see whether gateway, Keycloak, API and its database work; whether
there is such a task does not matter."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds between two looks whether the API is back."""

AWAY_PATIENCE = 600.0
"""Seconds that a run waits for an API that is away."""

_log = logging.getLogger(__name__)


class ApiAwayError(TemporaryError):
    """The API does not answer, whatever it is asked."""


def answers(api: PlatformApi) -> bool:
    """Say whether the API does what it always can."""
    try:
        api.get_task(PROBE_TASK)
    except ModerateError:
        return False
    return True


class Sight:
    """Whether the API answers, and when to look again if it does not."""

    def __init__(self) -> None:
        self.away_last = 0.0
        """When it was away last."""
        self.quiet_until = 0.0
        """When to look again."""
        self._lost: float | None = None
        self._pause = 0.0

    @property
    def is_lost(self) -> bool:
        """Say whether the API was away when it was last asked."""
        return self._lost is not None

    def lose(self, error: Exception) -> None:
        """Note a call that failed whatever it asked for.

        Raises:
            ApiAwayError: The API has been away for too long.
        """
        now = self.away_last = time.monotonic()
        if self._lost is None:
            self._lost = now
        if now >= self.quiet_until:
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            self.quiet_until = now + self._pause
            _log.warning("paused for %.0f s: %s", self._pause, error)
        if now - self._lost > AWAY_PATIENCE:
            msg = f"given up after {AWAY_PATIENCE:.0f} s: {error}"
            raise ApiAwayError(msg)

    def find(self) -> None:
        """Note a call that was answered."""
        self._lost = None
        self._pause = self.quiet_until = 0.0
