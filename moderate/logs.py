"""Log lines for machines or for people, without secrets in either.

``configure_logging`` owns the root logger's handler. Values are redacted in
the formatter, after the arguments and the traceback became text, so nothing
passes beside it; ``log_context`` adds what the line is about.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

from moderate.redaction import Redactor
from moderate.settings import LogFormat

CONTEXT_FIELDS = ("run_id", "kind", "item")

# Libraries that repeat what our own errors say, or log every request.
_QUIETER = MappingProxyType(
    {
        "alembic": logging.WARNING,
        "boto3": logging.WARNING,
        "botocore": logging.WARNING,
        "httpcore": logging.WARNING,
        "httpx": logging.WARNING,
        # Logs each lost connection several times with a traceback; the
        # client raises it once, translated.
        "pika": logging.CRITICAL,
        "urllib3": logging.WARNING,
    }
)

# Terminal control characters; tab and line feed stay.
_CONTROLS = {
    code: f"\\x{code:02x}"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\t\n"
}

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})
_context: ContextVar[Mapping[str, str]] = ContextVar(
    "log_context", default=_NO_CONTEXT
)

_log = logging.getLogger(__name__)


@contextmanager
def log_context(
    *,
    run_id: str | None = None,
    kind: str | None = None,
    item: str | int | None = None,
) -> Iterator[None]:
    """Say what the log lines of this block are about.

    Blocks nest: a field that is not given keeps the outer block's value. A
    new thread starts without context (``contextvars.copy_context`` takes it
    along).

    Args:
        run_id: The Dagster run.
        kind: The kind of work item.
        item: The key or id of the work item.
    """
    given = {"run_id": run_id, "kind": kind, "item": item}
    fields = {k: str(v) for k, v in given.items() if v is not None}
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


class _RedactingFormatter(logging.Formatter):
    """Makes text of a record's message and exception, secrets taken out."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor.redact

    def message(self, record: logging.LogRecord) -> str:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError) as error:
            # The standard handler would print the arguments unredacted.
            text = f"{record.msg} (arguments do not fit: {error})"
        return self._redact(text)

    def exception(self, record: logging.LogRecord) -> str:
        parts = []
        if record.exc_info and record.exc_info[0]:
            parts.append(self.formatException(record.exc_info))
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._redact("\n".join(parts))


class JsonFormatter(_RedactingFormatter):
    """One JSON object a line.

    Keys: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``; of
    ``CONTEXT_FIELDS`` those that are known; ``exception`` when there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": _utc(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
        }
        line |= {k: self._redact(v) for k, v in _context.get().items()}
        if exception := self.exception(record):
            line["exception"] = exception
        return json.dumps(line)


class ConsoleFormatter(_RedactingFormatter):
    """``time LEVEL logger [context] message``, traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; terminal controls are made visible."""
        time = _utc(record).strftime("%H:%M:%S")
        about = self._redact(_about())
        head = f"{time} {record.levelname:<7} {record.name}{about}"
        text = f"{head} {self.message(record)}"
        if exception := self.exception(record):
            text = f"{text}\n{exception}"
        return text.translate(_CONTROLS)


def _about() -> str:
    fields = _context.get()
    known = [f"{k}={fields[k]}" for k in CONTEXT_FIELDS if k in fields]
    return f" [{' '.join(known)}]" if known else ""


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that configuring twice replaces it and leaves others alone."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say that a line is lost; the standard text shows its arguments."""
        error = sys.exception()
        if sys.stderr and not isinstance(error, BrokenPipeError):
            sys.stderr.write(
                f"log line lost at {record.pathname}:{record.lineno}: "
                f"{type(error).__name__}\n"
            )


def configure_logging(
    log_format: LogFormat,
    level: str,
    redactor: Redactor,
    stream: TextIO | None = None,
) -> None:
    """Send all log lines of the process, redacted, to one stream.

    Uncaught exceptions of any thread are logged the same way instead of
    being printed unredacted. Calling it again replaces what it set up.

    Args:
        log_format: JSON lines or console.
        level: Name of the lowest level that is written.
        redactor: Knows the secrets of this process.
        stream: Where to; standard error if not given.
    """
    formatter = {
        LogFormat.JSON: JsonFormatter,
        LogFormat.CONSOLE: ConsoleFormatter,
    }[log_format]
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(formatter(redactor))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, quieter in _QUIETER.items():
        logging.getLogger(name).setLevel(max(quieter, root.level))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    if redactor.unprotected:
        _log.warning(
            "%d secrets are too short to be taken out of logs",
            redactor.unprotected,
        )


def _log_uncaught(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _log.critical("uncaught exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    thread = args.thread.name if args.thread else "unknown"
    _log.critical(
        "uncaught exception in thread %s",
        thread,
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )
