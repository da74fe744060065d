"""Faults that tests and demos switch on, and which of them strikes when."""

from asyncio import Event
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RouteFault(_Model):
    """What happens to requests whose path begins with a prefix."""

    prefix: str = Field("/api/", description="Paths that begin so.")
    method: str | None = Field(None, description="Only this method.")
    skip: Count = Field(0, description="Let so many pass first.")
    count: Count | None = Field(
        None, description="Strikes that are left; null: no bound."
    )
    latency_ms: Count = Field(
        0, description="Wait so long before anything else."
    )
    hold: bool = Field(
        default=False,
        description="Wait until the faults are replaced, then go on.",
    )
    hang: bool = Field(
        default=False, description="Never answer; the client has to give up."
    )
    status: Annotated[int, Field(ge=400, le=599)] | None = Field(
        None, description="Answer with this status, in the server's shape."
    )
    message: str = Field(
        "An exception with message [emulated] was thrown while processing "
        "request.",
        description="The message of that answer.",
    )
    retry_after_seconds: Count | None = Field(
        None, description="Sent as `Retry-After` with the status."
    )
    after_effect: bool = Field(
        default=False,
        description=(
            "Do what was asked, then answer with the status all the same: "
            "the effect is there, the answer is lost."
        ),
    )


class RowFault(_Model):
    """Rows of bulk requests that fail, in an answer with status 200."""

    pattern: str = Field(
        description=(
            "Shell pattern on the row's fully qualified name, as in "
            '`service.shop.sales.orders` or `lake.default.b."raw/*.csv"`.'
        )
    )
    count: Count | None = Field(
        None, description="Strikes that are left; null: no bound."
    )
    status: Annotated[int, Field(ge=400, le=599)] = 500
    message: str = "emulated failure"


class Faults(_Model):
    """All faults that are switched on."""

    routes: list[RouteFault] = Field(
        default_factory=list, description="The first that matches strikes."
    )
    rows: list[RowFault] = Field(
        default_factory=list, description="The first that matches strikes."
    )
    expired_token: bool = Field(
        default=False, description="Every token has expired: 401."
    )
    search_down: bool = Field(
        default=False, description="The search service is down: 500."
    )
    down: bool = Field(
        default=False,
        description=(
            "Everything is answered with the 503 of a proxy whose server is "
            "gone. (For a port that nobody listens on, stop the process.)"
        ),
    )


class FaultInjector:
    """Decides which fault strikes.

    Args:
        faults: What is switched on at first.
    """

    def __init__(self, faults: Faults) -> None:
        self._first = faults
        self._replaced = Event()
        self.reset()

    def reset(self) -> None:
        """Go back to the faults of the start."""
        self.replace(self._first)

    def replace(self, faults: Faults) -> None:
        """Switch on ``faults`` and nothing else."""
        self.faults = faults.model_copy(deep=True)
        replaced, self._replaced = self._replaced, Event()
        replaced.set()

    async def until_replaced(self) -> None:
        """Wait for other faults."""
        await self._replaced.wait()

    def on_request(self, method: str, path: str) -> RouteFault | None:
        """The fault that strikes a request; its count goes down by one."""
        for fault in self.faults.routes:
            if not (
                path.startswith(fault.prefix)
                and fault.method in (None, method)
            ):
                continue
            if fault.skip:
                fault.skip -= 1
            elif _take(fault):
                return fault
        return None

    def on_row(self, name: str) -> RowFault | None:
        """The fault that strikes a row of a bulk request."""
        for fault in self.faults.rows:
            if fnmatchcase(name, fault.pattern) and _take(fault):
                return fault
        return None


def _take(fault: RouteFault | RowFault) -> bool:
    if fault.count == 0:
        return False
    if fault.count is not None:
        fault.count -= 1
    return True
