"""The fast path: whether there is one, and how its workers behave."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from moderate.settings.fields import Group, Seconds


class FastPathSettings(Group):
    """How runs get from the inbox to a process that is already warm."""

    title: ClassVar[str] = "Fast path"

    is_on: bool = Field(
        default=False,
        alias="FAST_PATH",
        description="`true` where `moderate intake` and `moderate worker` run:"
        " the sensors then leave fresh work to them",
    )
    patience: Seconds = Field(
        timedelta(seconds=20),
        alias="FAST_PATH_PATIENCE_SECONDS",
        ge=timedelta(),
        description="seconds that the sensors leave a batch to the fast path "
        "before they ask for its run themselves",
    )
    slots: int = Field(
        8,
        alias="WORKER_SLOTS",
        ge=1,
        le=100,
        description="runs that one worker has at once",
    )
    drain: Seconds = Field(
        timedelta(seconds=20),
        alias="WORKER_DRAIN_SECONDS",
        ge=timedelta(),
        description="seconds that a worker's runs get to end by themselves "
        "when it is told to end; then they are evicted and their items "
        "go to other runs",
    )

    @property
    def left_to_it(self) -> timedelta:
        """How long the sensors leave a batch to the fast path."""
        return self.patience if self.is_on else timedelta()
