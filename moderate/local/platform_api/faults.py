"""Faults that tests and demos switch on, and which of them strikes when."""

import random
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

TaskKind = Literal["did", "proof"]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RouteFault(_Model):
    """What happens to requests whose path begins with a prefix."""

    prefix: str = Field("/", description="Paths that begin so.")
    method: str | None = Field(None, description="Only this method.")
    count: int | None = Field(
        None, ge=0, description="Strikes that are left; null: no bound."
    )
    fraction: Fraction = Field(
        1.0, description="The part of the requests that it strikes."
    )
    latency_ms: int = Field(
        0, ge=0, description="Wait so long before anything else."
    )
    hang: bool = Field(
        default=False, description="Never answer; the client has to give up."
    )
    status: int | None = Field(
        None,
        ge=400,
        le=599,
        description=(
            "Answer with this status, in the shape that it has when it comes "
            "from the API (500), from Keycloak (401, 403) or from the "
            "gateway's web server (HTML; all others)."
        ),
    )
    retry_after_seconds: int | None = Field(
        None, ge=0, description="Sent as `Retry-After` with the status."
    )
    after_effect: bool = Field(
        default=False,
        description=(
            "Do what was asked, then answer with the status all the same: "
            "the effect is there, the answer is lost."
        ),
    )


class TaskFault(_Model):
    """What happens to the trust service's calls for some users or objects."""

    pattern: str = Field(
        description="Shell pattern on the username or the object's key."
    )
    kind: TaskKind | None = Field(None, description="Only calls of a kind.")
    times: int | None = Field(
        None,
        ge=0,
        description=(
            "Each user or object fails so many times and works from then on; "
            "counted in the state file, so over restarts; null: always."
        ),
    )
    seconds: float | None = Field(
        None, ge=0, description="A call takes so long instead."
    )
    hang: bool = Field(
        default=False,
        description="A call lasts until the API's time for it is over.",
    )
    fail: bool = Field(
        default=True, description="False: only `seconds` or `hang` apply."
    )


class Faults(_Model):
    """All faults that are switched on."""

    routes: list[RouteFault] = Field(
        default_factory=list, description="The first that matches strikes."
    )
    tasks: list[TaskFault] = Field(
        default_factory=list, description="The first that matches strikes."
    )
    task_seconds: float | None = Field(
        None, ge=0, description="Replaces EMULATOR_TASK_SECONDS."
    )
    task_failure_fraction: Fraction | None = Field(
        None, description="Replaces EMULATOR_TASK_FAILURE_FRACTION."
    )
    token_lifetime_seconds: float | None = Field(
        None,
        ge=0,
        description=(
            "Refuse tokens older than that, whatever they and the answer "
            "that brought them say. Their time of issue has whole seconds."
        ),
    )
    reject_tokens_issued_before: AwareDatetime | None = Field(
        None, description="Refuse tokens issued before this moment."
    )
    drop_messages: int = Field(
        0, ge=0, description="The next job messages so many are lost."
    )


class FaultInjector:
    """Decides which fault strikes.

    Args:
        faults: What is switched on at first.
        seed: Of the random choice where a fault strikes a fraction.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._first = faults
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Go back to the faults of the start."""
        self.replace(self._first)

    def replace(self, faults: Faults) -> None:
        """Switch on ``faults`` and nothing else."""
        self.faults = faults.model_copy(deep=True)
        # Reproducible choices, not secrets.
        self._random = random.Random(self._seed)  # noqa: S311

    def on_request(self, method: str, path: str) -> RouteFault | None:
        """The fault that strikes a request; its count goes down by one."""
        for fault in self.faults.routes:
            if self._strikes(fault, method, path):
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def _strikes(self, fault: RouteFault, method: str, path: str) -> bool:
        return (
            path.startswith(fault.prefix)
            and fault.method in (None, method)
            and fault.count != 0
            and self._random.random() < fault.fraction
        )

    def on_task(
        self, kind: TaskKind, subject: str, failures: int
    ) -> TaskFault | None:
        """The fault that strikes a call to the trust service.

        Args:
            kind: What is asked for.
            subject: The username or the object's key.
            failures: How often a call for it has failed already.
        """
        for fault in self.faults.tasks:
            if (
                fault.kind in (None, kind)
                and fnmatchcase(subject, fault.pattern)
                and (fault.times is None or failures < fault.times)
            ):
                return fault
        return None

    def by_chance(self, fraction: float) -> bool:
        """Whether one of a fraction of all calls fails."""
        return self._random.random() < fraction

    def take_dropped_message(self) -> bool:
        """Whether the next job message is lost."""
        if self.faults.drop_messages == 0:
            return False
        self.faults.drop_messages -= 1
        return True
