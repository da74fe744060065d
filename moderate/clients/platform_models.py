"""What the platform API says, as values.

Fields that we do not use are left out, unknown ones ignored. The API's times
carry no zone and are UTC; here they are aware.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

T = TypeVar("T")


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        msg = "a time within the years 1 to 9999 is expected"
        raise ValueError(msg) from error


UtcTime = Annotated[datetime, AfterValidator(_in_utc)]

# As the API reads a job's arguments, which it keeps as they were posted: it
# takes "12" for 12, and 5 for "5".
_OBJECT_ID = TypeAdapter(int)
_VARIABLE = TypeAdapter(str, config=ConfigDict(coerce_numbers_to_str=True))


def _read(
    shape: TypeAdapter[T], arguments: dict[str, Any] | None, name: str
) -> T | None:
    try:
        return shape.validate_python((arguments or {}).get(name))
    except ValidationError:
        return None


class ApiModel(BaseModel):
    """One thing that the API says."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True
    )


class Job(ApiModel):
    """A workflow job that a user of the platform posted.

    The job names its input only by ``arguments.uploaded_s3_object_id``; key
    and bucket, which the job's message carries, are those of that object
    (``PlatformApi.get_object``).
    """

    id: int
    job_type: str
    created_at: UtcTime
    creator_username: str
    arguments: dict[str, Any] | None = None
    results: dict[str, Any] | None = None
    finalised_at: UtcTime | None = None

    @property
    def object_id(self) -> int | None:
        """The id of the asset object that the job reads."""
        return _read(_OBJECT_ID, self.arguments, "uploaded_s3_object_id")

    @property
    def analysis_variable(self) -> str | None:
        """The column that the job analyses."""
        return _read(_VARIABLE, self.arguments, "analysis_variable")


class JobResults(ApiModel):
    """A job's outcome, in the form that the platform's pages read."""

    workflow_job_id: int
    error: str | None = None
    error_logs_key: str | None = None
    output_bucket: str | None = None
    output_key: str | None = None


class AssetObject(ApiModel):
    """A file of an asset; its bytes lie in S3 under bucket and key."""

    id: int
    key: str
    bucket: str
    asset_id: int
    sha256_hash: str
    created_at: UtcTime
    proof_id: str | None = None
    name: str | None = None
    series_id: str | None = None
    tags: dict[str, Any] | None = None


class Asset(ApiModel):
    """A collection of files; ``username`` is null for an ownerless one."""

    id: int
    uuid: str
    name: str
    access_level: str
    username: str | None = None


class TaskState(StrEnum):
    """How far a task of the trust service is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Task(ApiModel):
    """A DID or proof in the making.

    One that the API died on stays ``RUNNING`` for ever: bound the wait.
    ``error`` is the text of a Python exception.
    """

    id: int
    username_owner: str
    created_at: UtcTime
    result: dict[str, Any] | None = None
    error: str | None = None
    finished_at: UtcTime | None = None

    @property
    def state(self) -> TaskState:
        """Where the task stands."""
        if self.error is not None:
            return TaskState.FAILED
        if self.finished_at is not None:
            return TaskState.SUCCEEDED
        return TaskState.RUNNING


class TaskStarted(ApiModel):
    """The answer to a request that the trust service has yet to do."""

    task_id: int


class UserMeta(ApiModel):
    """What the platform keeps about a user."""

    username: str
    trust_did: str


class DidExists(ApiModel):
    """The user has a DID already."""

    user_meta: UserMeta


class ProvenObject(AssetObject):
    """An object with its integrity proof."""

    proof_id: str


class ProofExists(ApiModel):
    """The object has a proof already."""

    obj: ProvenObject


DidAnswer = TaskStarted | DidExists
ProofAnswer = TaskStarted | ProofExists
