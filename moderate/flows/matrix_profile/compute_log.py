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
        """Write one line, or what there is room for of it."""
        if self._left <= 0:
            return
        # Cut only then: half a secret is not known for one.
        shown = self._redactor.redact(line.decode(errors="replace")).encode()
        room, self._left = self._left, self._left - len(shown)
        sys.stdout.write(shown[:room].decode(errors="ignore"))
        if self._left <= 0:
            end = "" if shown[:room].endswith(b"\n") else "\n"
            rest = "[the rest of the log is not shown here]"
            sys.stdout.write(f"{end}{rest}\n")
        sys.stdout.flush()
