"""Shows an analysis' log in its run, as it comes."""

import sys

from moderate.redaction import Redactor


class ComputeLog:
    """Writes lines where Dagster keeps a run's output, up to a bound.

    Args:
        redactor: Takes secrets out; a library may print what it was given.
        max_bytes: The most that is written; the log itself is stored with
            its end, so nothing is lost by that.
    """

    def __init__(self, redactor: Redactor, max_bytes: int) -> None:
        self._redactor = redactor
        self._left = max_bytes

    def __call__(self, line: bytes) -> None:
        """Write one line."""
        if self._left <= 0:
            return
        self._left -= len(line)
        sys.stdout.write(self._redactor.redact(line.decode(errors="replace")))
        if self._left <= 0:
            sys.stdout.write("[the rest of the log is not shown here]\n")
        sys.stdout.flush()
