"""The three kinds of error: what a failure means is a type.

An error's kind reaches every layer that could retry: clients raise it, ops
let it pass, and the inbox, which alone decides on retries, acts on it.

- ``PermanentError``: trying again cannot help. The work item is dead at once.
- ``TemporaryError``: trying again later may help, at ``delay`` if given.
- anything else is unknown: treated as temporary, capped by the work kind's
  number of failures, and logged with its traceback.
"""

from datetime import timedelta


class ModerateError(Exception):
    """Base of all errors that this package raises on purpose."""


class PermanentError(ModerateError):
    """Trying again cannot help; a person has to look."""


class TemporaryError(ModerateError):
    """Trying again later may help.

    Args:
        message: What failed, in plain words.
        delay: The shortest wait that the peer asked for (for instance by
            ``Retry-After``); ``None`` leaves the wait to the backoff policy.
    """

    def __init__(
        self, message: str, *, delay: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.delay = delay


class SettingsError(PermanentError):
    """One or more settings are missing or wrong; the text lists them all."""
