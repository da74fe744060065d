"""How the service itself behaves, and whom it tells."""

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from moderate.settings.fields import (
    Group,
    Seconds,
)


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


class NoticeShape(StrEnum):
    """What a notice looks like."""

    JSON = "json"
    SLACK = "slack"


HEARTBEATS_MISSED = 3
"""A run is given up after as many, so that a slow one alone is harmless."""


class ServiceSettings(Group):
    """How the service itself behaves."""

    title: ClassVar[str] = "Service"

    log_format: LogFormat = Field(
        LogFormat.CONSOLE,
        alias="MODERATE_LOG_FORMAT",
        description="`json` (one object a line) or `console`",
    )
    log_level: str = Field(
        "INFO",
        alias="MODERATE_LOG_LEVEL",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    sensor_interval: Seconds = Field(
        # A tick that comes a hair early at 5 would wait a whole loop more.
        timedelta(seconds=4),
        alias="MODERATE_SENSOR_INTERVAL_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=5),
        description="least seconds between looks of a sensor; the daemon's "
        "own loop takes 5, so less than that means every loop",
    )
    tick_budget: Seconds = Field(
        timedelta(seconds=20),
        alias="MODERATE_TICK_BUDGET_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=45),
        description="seconds that one tick may read from a peer; Dagster "
        "abandons a tick at 60",
    )
    heartbeat_interval: Seconds = Field(
        timedelta(seconds=5),
        alias="INBOX_HEARTBEAT_SECONDS",
        ge=timedelta(seconds=0.2),
        description="seconds between the heartbeats of a run",
    )
    heartbeat_timeout: Seconds = Field(
        timedelta(seconds=60),
        alias="INBOX_HEARTBEAT_TIMEOUT_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds without a heartbeat after which a run's items "
        "are freed; three heartbeats at least",
        validate_default=True,
    )
    dispatch_grace: Seconds = Field(
        timedelta(seconds=60),
        alias="INBOX_DISPATCH_GRACE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that a dispatched item waits for its run before "
        "anybody asks whether the run exists",
    )

    @field_validator("heartbeat_timeout")
    @classmethod
    def _outlasts_heartbeats(
        cls, value: timedelta, info: ValidationInfo
    ) -> timedelta:
        """Refuse what would take the items of every run that is alive."""
        interval = info.data.get("heartbeat_interval", timedelta())
        if value < HEARTBEATS_MISSED * interval:
            msg = (
                f"{value.total_seconds():g} s are fewer than"
                f" {HEARTBEATS_MISSED} heartbeats of"
                f" {interval.total_seconds():g} s"
            )
            raise ValueError(msg)
        return value


class NotificationSettings(Group):
    """Who is told of the ends of runs."""

    title: ClassVar[str] = "Notifications"

    webhook_url: SecretStr = Field(
        alias="NOTIFY_WEBHOOK_URL",
        description="URL that takes a POST of JSON; a secret, as it may hold "
        "a token",
    )
    shape: NoticeShape = Field(
        NoticeShape.JSON,
        alias="NOTIFY_SHAPE",
        description="`json`, or `slack` for a chat that takes Slack's",
    )
    quiet: Seconds = Field(
        timedelta(minutes=5),
        alias="NOTIFY_QUIET_SECONDS",
        ge=timedelta(),
        description="least seconds between two alerts; what happens meanwhile "
        "is told in the next one",
    )
