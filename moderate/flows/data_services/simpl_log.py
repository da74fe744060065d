"""The logger ``simpl``: one JSON object a line, for the platform's monitors.

It is off unless a run's configuration has ``loggers: {simpl: …}``. The
shape of a line is the contract's; keys that we know nothing of are null.
"""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import Field, InitLoggerContext, logger

from moderate.errors import SettingsError
from moderate.resources import redactor

BUSINESS_EVENT = "BUSINESS_EVENT"
BUSINESS_OPERATION = "business_operation"
DEFAULT_LOG_DIR = "/dagster/shared"

_HTTP = (
    "status",
    "requestSize",
    "executionTime",
    "responseSize",
    "action",
    "method",
)
_LEVELS = {"WARNING": "WARN"}


class SimplFormatter(logging.Formatter):
    """Makes a line of a record.

    Args:
        run_id: Of the run that logs.
        default_operation: Business operation of records that name none.
    """

    def __init__(self, run_id: str, default_operation: str | None) -> None:
        super().__init__()
        self._run_id = run_id
        self._default = default_operation
        self._operation: str | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON, secrets taken out."""
        about = getattr(record, "dagster_meta", None) or {}
        fields = _fields(record, about)
        is_business = fields["event_type"] == BUSINESS_EVENT
        text = redactor().redact(
            str(about.get("orig_message") or record.getMessage())
        )
        line = {
            "timestamp": _timestamp(record.created),
            "level": "BUSINESS" if is_business else _level(record),
            "message": (
                self._business(record, about, fields, text)
                if is_business
                else text
            ),
            "http": dict.fromkeys(_HTTP),
            "thread": record.threadName,
            "customFields": fields,
        }
        return json.dumps(line, default=str)

    def _business(
        self,
        record: logging.LogRecord,
        about: Any,
        fields: dict[str, Any],
        text: str,
    ) -> dict[str, Any]:
        given = getattr(record, "custom_fields", None) or {}
        return {
            "origin": "dagster",
            "destination": "dagster",
            "businessOperation": self._operation_of(record, about),
            "messageType": "RESPONSE",
            "correlationId": self._run_id,
            "msg": text,
            "user": None,
            "userIp": None,
            "customFields": {**fields, **_redacted(given)},
        }

    def _operation_of(
        self, record: logging.LogRecord, about: Any
    ) -> str | None:
        """Return the job's, the record's or the default; the first sticks."""
        if self._operation is None:
            tags = about.get("job_tags") or {}
            self._operation = (
                tags.get(BUSINESS_OPERATION)
                or getattr(record, BUSINESS_OPERATION, None)
                or self._default
            )
        return self._operation


def _fields(record: logging.LogRecord, about: Any) -> dict[str, Any]:
    event = about.get("dagster_event")
    kind = getattr(record, "event_type", None)
    if kind is None and event is not None:
        # Dagster still stores the name that runs had once.
        kind = event.event_type_value.replace("PIPELINE_", "RUN_")
    op = getattr(record, "op_name", None) or about.get("op_name")
    return {"event_type": kind, "op_name": op}


def _redacted(fields: Any) -> dict[str, Any]:
    redact = redactor().redact
    return {
        str(k): redact(v) if isinstance(v, str) else v
        for k, v in dict(fields).items()
    }


def _timestamp(created: float) -> str:
    moment = datetime.fromtimestamp(created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(record: logging.LogRecord) -> str:
    return _LEVELS.get(record.levelname, record.levelname)


class _Appending(logging.Handler):
    """Appends each line by itself: nobody tells a logger that its run ended.

    A line that can't be written (a full disk) does not end the run.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record's line."""
        line = self.format(record) + "\n"
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            self.handleError(record)


def handler_for(
    folder: Path, run_id: str, default_operation: str | None
) -> logging.Handler:
    """Return what appends a run's lines to its file.

    Raises:
        SettingsError: The folder can't be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"simpl_run_{run_id}.json"
        path.touch()
    except OSError as error:
        msg = f"log_dir {str(folder)!r}: {error.strerror}"
        raise SettingsError(msg) from None
    made = _Appending(path)
    made.setFormatter(SimplFormatter(run_id, default_operation))
    return made


@logger(
    config_schema={
        "log_level": Field(str, default_value="INFO"),
        "log_dir": Field(str, default_value=DEFAULT_LOG_DIR),
        "business_operation": Field(str, is_required=False),
    },
    description="JSON lines in simpl_run_<run id>.json in a shared folder",
)
def simpl_logger(context: InitLoggerContext) -> logging.Logger:
    """Return the logger of one run."""
    config = context.logger_config
    level = _number_of(config["log_level"])
    # Each run has one of its own, so it is not asked for by name.
    made = logging.Logger("simpl", level)  # noqa: LOG001
    made.addHandler(
        handler_for(
            Path(config["log_dir"]),
            str(context.run_id),
            config.get("business_operation"),
        )
    )
    return made


def _number_of(name: str) -> int:
    aliases = {"WARN": "WARNING"}
    wanted = aliases.get(name.upper(), name.upper())
    levels = logging.getLevelNamesMapping()
    if wanted not in levels:
        msg = f"log_level {name!r}: one of {', '.join(levels)} is expected"
        raise SettingsError(msg)
    return levels[wanted]
