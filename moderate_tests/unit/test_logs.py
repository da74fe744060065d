"""Log lines carry their context and no secret, in both formats."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from moderate import logs
from moderate.logs import (
    ConsoleFormatter,
    JsonFormatter,
    configure_logging,
    log_context,
)
from moderate.redaction import Redactor
from moderate.settings import LogFormat

SECRET = "canary-Zx9/secret"

log = logging.getLogger("moderate.some.module")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Whatever a test configures, the next finds the process as it was."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    root.handlers[:], level = before[0], before[1]
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)


def configured(log_format: LogFormat, level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(log_format, level, Redactor([SECRET]), stream)
    return stream


def json_lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_says_when_how_bad_where_and_what() -> None:
    stream = configured(LogFormat.JSON)
    log.info("took %d messages", 3)
    [line] = json_lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "moderate.some.module",
        "message": "took 3 messages",
    }


def test_the_context_of_nested_blocks_is_on_the_line_and_ends_with_them() -> (
    None
):
    stream = configured(LogFormat.JSON)
    with log_context(run_id="r1", kind="matrix_profile"):
        with log_context(item=7):
            log.info("inner")
        log.info("outer")
    log.info("outside")
    inner, outer, outside = json_lines(stream)
    assert (inner["run_id"], inner["kind"], inner["item"]) == (
        "r1",
        "matrix_profile",
        "7",
    )
    assert "item" not in outer
    assert "run_id" not in outside


def test_a_console_line_shows_its_context() -> None:
    stream = configured(LogFormat.CONSOLE)
    with log_context(kind="matrix_profile", item=7):
        log.warning("slow")
    assert stream.getvalue().endswith(
        "WARNING moderate.some.module [kind=matrix_profile item=7] slow\n"
    )


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_part_of_a_line_shows_a_secret(log_format: LogFormat) -> None:
    stream = configured(log_format)
    with log_context(item=SECRET):
        log.info("plain %s in %r", SECRET, {"key": SECRET})
        log.info("url amqp://u:%s@h", "unknown-password")
        log.error("failed", exc_info=ValueError(SECRET))
        log.info("where", stack_info=True)
    assert "canary" not in stream.getvalue()
    assert "unknown-password" not in stream.getvalue()
    assert "ValueError: ***" in stream.getvalue()


@pytest.mark.parametrize("formatter", [JsonFormatter, ConsoleFormatter])
def test_arguments_that_do_not_fit_are_said_without_showing_them(
    formatter: type[JsonFormatter | ConsoleFormatter],
) -> None:
    record = logging.LogRecord(
        "x", logging.INFO, __file__, 1, "%d is no number", (SECRET,), None
    )
    line = formatter(Redactor()).format(record)
    assert "%d is no number (arguments do not fit" in line
    assert "canary" not in line


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_an_uncaught_exception_is_logged_without_its_secret(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configured(log_format)
    error = ValueError(SECRET)
    sys.excepthook(ValueError, error, None)

    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    assert stream.getvalue().count("ValueError: ***") == 2
    assert "thread worker" in stream.getvalue()
    assert "canary" not in stream.getvalue() + capsys.readouterr().err


def test_an_untrusted_message_cannot_forge_a_line_or_drive_a_terminal() -> (
    None
):
    stream = configured(LogFormat.JSON)
    log.info("a\n{}\x1b[2J")
    assert len(json_lines(stream)) == 1
    stream = configured(LogFormat.CONSOLE)
    log.info("\x1b[2J\rgone\x9b")
    assert "\\x1b[2J\\x0dgone\\x9b" in stream.getvalue()


def test_a_line_that_cannot_be_written_does_not_print_its_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The standard handler prints message and arguments as they are."""
    configured(LogFormat.JSON).close()
    log.info("x %s", SECRET)
    told = capsys.readouterr().err
    assert "log line lost" in told
    assert "canary" not in told


def test_configuring_again_replaces_only_our_own_handler() -> None:
    others = {
        handler
        for handler in logging.getLogger().handlers
        if type(handler).__module__ != logs.__name__
    }
    first = configured(LogFormat.JSON)
    second = configured(LogFormat.CONSOLE)
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert others < set(logging.getLogger().handlers)


def test_only_the_chosen_level_and_above_is_written() -> None:
    stream = configured(LogFormat.CONSOLE, "WARNING")
    log.info("no")
    log.warning("yes")
    assert "no" not in stream.getvalue()
    assert "yes" in stream.getvalue()


def test_libraries_that_log_every_request_are_quiet_even_at_debug() -> None:
    stream = configured(LogFormat.CONSOLE, "DEBUG")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?sig=abc")
    logging.getLogger("pika.adapters").error("socket closed")
    assert stream.getvalue() == ""


def test_warnings_are_log_lines_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stream = configured(LogFormat.CONSOLE)
        warnings.warn(f"deprecated: {SECRET}", UserWarning, stacklevel=1)
    assert "deprecated: ***" in stream.getvalue()


def test_secrets_too_short_to_redact_are_told() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, "INFO", Redactor(["abc"]), stream)
    assert "1 secrets are too short" in stream.getvalue()
