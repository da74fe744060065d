"""The worked example: fetch two rows, and say how many there were."""

from typing import Any

from dagster import OpExecutionContext, op

from moderate.flows.data_services.building import service_job


@op
def fetch_data() -> list[dict[str, Any]]:
    """Fetch two rows."""
    return [{"id": 1, "value": "first"}, {"id": 2, "value": "second"}]


@op
def process_data(
    context: OpExecutionContext, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Count the rows."""
    context.add_output_metadata({"rows_processed": len(rows)})
    return {"count": len(rows), "status": "success"}


def _body() -> None:
    process_data(fetch_data())


JOBS = [
    service_job(
        "data_processing_job",
        "DATA_PROCESSING",
        _body,
        [fetch_data, process_data],
    )
]
