"""What is watched, and how long what is over is kept."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from moderate.settings.fields import Group, Port, Seconds


class OperationsSettings(Group):
    """How the service is watched, and how long it keeps what is over."""

    title: ClassVar[str] = "Operations"

    interval: Seconds = Field(
        timedelta(seconds=60),
        alias="OPERATIONS_INTERVAL_SECONDS",
        ge=timedelta(seconds=5),
        le=timedelta(hours=1),
        description="seconds between two looks at what waits, runs and "
        "fails, and at the peers",
    )
    oldest_due: Seconds = Field(
        timedelta(minutes=15),
        alias="OPERATIONS_OLDEST_DUE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that an item may be due before its flow is "
        "shown as late",
    )
    probe_timeout: Seconds = Field(
        timedelta(seconds=5),
        alias="OPERATIONS_PROBE_SECONDS",
        ge=timedelta(seconds=0.1),
        le=timedelta(seconds=20),
        description="seconds that a peer has to answer a probe",
    )
    clock_skew: Seconds = Field(
        timedelta(seconds=5),
        alias="OPERATIONS_CLOCK_SKEW_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds by which clocks may differ before `moderate "
        "doctor` complains",
    )
    keep_items: Seconds = Field(
        timedelta(days=30),
        alias="INBOX_KEEP_SECONDS",
        ge=timedelta(hours=1),
        description="seconds after which a done item is emptied (its kind "
        "and key stay) and its lease forgotten",
    )
    keep_runs: Seconds = Field(
        timedelta(days=30),
        alias="RUNS_KEEP_SECONDS",
        ge=timedelta(hours=1),
        description="seconds after which runs that ended are deleted from "
        "Dagster, with their events",
    )
    keep_batch_runs: Seconds = Field(
        timedelta(days=180),
        alias="BATCH_RUNS_KEEP_SECONDS",
        ge=timedelta(hours=1),
        description="the same for runs of jobs that work on no items "
        "(metadata, datasets, data services, operations); what an asset has "
        "of them in its history goes too, all but its latest",
    )
    keep_points: Seconds = Field(
        timedelta(days=7),
        alias="OPERATIONS_KEEP_SECONDS",
        ge=timedelta(hours=1),
        description="seconds that the points of the assets in group "
        "`operations` are kept",
    )
    prune_limit: int = Field(
        2_000,
        alias="PRUNE_LIMIT",
        ge=1,
        le=100_000,
        description="runs, and items of each kind, that one housekeeping "
        "deletes at the most",
    )
    metrics_port: Port = Field(
        9464,
        alias="METRICS_PORT",
        description="TCP port at which `moderate metrics` answers",
    )
