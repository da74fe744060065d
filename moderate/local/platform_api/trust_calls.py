"""Calls of the trust service, as they are written down."""

from typing import Any

from pydantic import BaseModel, Field

from moderate.local.platform_api.faults import TaskKind

RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
DISCARDED = "discarded"


class TrustCall(BaseModel):
    """One call of the trust service."""

    kind: TaskKind
    subject: str = Field(description="The username or the object's key.")
    task_id: int
    body: dict[str, Any] | None = Field(description="What was sent.")
    started_at: str
    finished_at: str | None
    outcome: str = Field(
        description=(
            "`succeeded`; `failed`; `discarded`: it succeeded, but another "
            "call had been quicker; `running`: also if the emulator was "
            "killed meanwhile."
        )
    )
