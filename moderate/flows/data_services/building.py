"""Makes the jobs of a service: read, preview, apply, preview, write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dagster import (
    JobDefinition,
    OpDefinition,
    colored_console_logger,
    in_process_executor,
    job,
    mem_io_manager,
)

from moderate.flows import tags
from moderate.flows.data_services.reading import (
    preview_dataframe,
    read_csv_from_minio,
    read_csv_to_df,
)
from moderate.flows.data_services.resources import (
    DataKeysResource,
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.simpl_log import (
    BUSINESS_OPERATION,
    simpl_logger,
)
from moderate.flows.data_services.writing import (
    write_csv_to_minio,
    write_df_to_csv,
)

RESOURCES: Mapping[str, Any] = {
    "data_keys": DataKeysResource(),
    # Tables are files of this process's scratch folder: nobody else could
    # read them, so what ops hand on is not stored.
    "io_manager": mem_io_manager,
    "s3": NamedS3Resource(),
    "scratch": ScratchResource(),
}
"""What ops of data services may ask for."""

FLOW = "data_services"
LOGGERS = {"console": colored_console_logger, "simpl": simpl_logger}

_PLACES: Mapping[str, tuple[OpDefinition, OpDefinition]] = {
    "": (read_csv_to_df, write_df_to_csv),
    "_s3": (read_csv_from_minio, write_csv_to_minio),
    "_minio": (read_csv_from_minio, write_csv_to_minio),
}
"""By the end of a job's name: what reads and what writes."""


def jobs_of(
    names: Sequence[str], operation: str, steps: Sequence[OpDefinition]
) -> list[JobDefinition]:
    """Return the jobs of a service, for local files and for S3.

    Args:
        names: Of the job, with all its spellings; ``_s3`` and ``_minio`` are
            added.
        operation: The tag ``business_operation``.
        steps: Ops that take a table and return one, in order.
    """
    return [
        service_job(name + end, operation, _chain(read, steps, write), steps)
        for name in names
        for end, (read, write) in _PLACES.items()
    ]


def service_job(
    name: str,
    operation: str,
    body: Callable[[], Any],
    steps: Sequence[OpDefinition] = (),
    resources: Mapping[str, Any] | None = None,
) -> JobDefinition:
    """Return one job, as all those of data services are.

    Its ops run in one process, so that they share the scratch folder.

    Args:
        name: Of the job.
        operation: The tag ``business_operation``.
        body: Calls the ops.
        steps: Whose descriptions the job's is made of.
        resources: By key, beside ``RESOURCES``.
    """
    text = " ".join(filter(None, (step.description for step in steps)))
    make = job(
        name=name,
        description=text or body.__doc__,
        tags={tags.FLOW: FLOW, BUSINESS_OPERATION: operation},
        executor_def=in_process_executor,
        logger_defs=LOGGERS,
        resource_defs={**RESOURCES, **(resources or {})},
    )
    return make(body)


def _chain(
    read: OpDefinition, steps: Sequence[OpDefinition], write: OpDefinition
) -> Callable[[], None]:
    def body() -> None:
        table = read()
        for step in steps:
            table = step(preview_dataframe(table))
        write(preview_dataframe(table))

    return body
