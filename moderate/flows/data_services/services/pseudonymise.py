"""Pseudonymises columns, takes it back, or does both in one job."""

from typing import Any

from dagster import Config, OpExecutionContext, op
from pydantic import Field

from moderate.flows.data_services.building import jobs_of
from moderate.flows.data_services.resources import (
    DataKeysResource,
    ScratchResource,
)
from moderate.flows.data_services.running import (
    TableHandle,
    ignore_case,
    output_path,
    service,
)


class TechniquesConfig(Config):
    """The techniques, applied in order."""

    used_function: list[dict[str, Any]] = Field(
        description="technique: {hash | encrypt | decrypt | redact | replace:"
        " {columns, …}}, or technique: {type: …, columns, …}"
    )


@op
def anonymize_pseudonymize_structured(
    context: OpExecutionContext,
    config: TechniquesConfig,
    scratch: ScratchResource,
    data_keys: DataKeysResource,
    table: TableHandle,
) -> TableHandle:
    """Hash, encrypt, redact or replace the values of some columns."""
    return _apply(context, config, scratch, data_keys, table)


@op
def depseudonymize_structured(
    context: OpExecutionContext,
    config: TechniquesConfig,
    scratch: ScratchResource,
    data_keys: DataKeysResource,
    table: TableHandle,
) -> TableHandle:
    """Decrypt the values of some columns."""
    return _apply(context, config, scratch, data_keys, table)


def _apply(
    context: OpExecutionContext,
    config: TechniquesConfig,
    scratch: ScratchResource,
    data_keys: DataKeysResource,
    table: TableHandle,
) -> TableHandle:
    from moderate.dataservices import techniques  # noqa: PLC0415
    from moderate.dataservices.pseudonymise import (  # noqa: PLC0415
        pseudonymise,
    )

    metrics: dict[str, Any] = {}
    with service(context, metrics):
        output, report = pseudonymise(
            table,
            techniques.parse(config.used_function),
            data_keys.store(),
            output_path(context, scratch.folder, table),
            ignore_case=ignore_case(),
        )
        metrics |= {
            "rows_processed": report.rows,
            "columns_transformed": list(report.columns),
            "techniques_applied": list(report.techniques),
            "null_values_kept": report.nulls,
        }
    return output


JOBS = [
    *jobs_of(
        [
            "anonymise_pseudonymise_structured_job",
            "anonymize_pseudonymize_structured_job",
        ],
        "ANONYMISATION_PSEUDONYMISATION",
        [anonymize_pseudonymize_structured],
    ),
    *jobs_of(
        ["depseudonymize_structured_job"],
        "DEPSEUDONYMISATION",
        [depseudonymize_structured],
    ),
    *jobs_of(
        [
            "anonymize_pseudonymize_depseudonymize_structured_job",
            "anonymise_pseudonymise_depseudonymise_structured_job",
        ],
        "ANONYMISATION_PSEUDONYMISATION_DEPSEUDONYMISATION",
        [anonymize_pseudonymize_structured, depseudonymize_structured],
    ),
]
