"""What the ops of k-anonymity, l-diversity and t-closeness share."""

from typing import TYPE_CHECKING, Any

from dagster import Config, OpExecutionContext
from pydantic import Field

from moderate.flows.data_services.metadata import anonymisation_metadata
from moderate.flows.data_services.resources import (
    NamedS3Resource,
    ScratchResource,
)
from moderate.flows.data_services.running import (
    TableHandle,
    choice,
    ignore_case,
    output_path,
    service,
)

if TYPE_CHECKING:
    from moderate.dataservices.hierarchy_forms import Rows

MAX_HIERARCHY_BYTES = 64 * 1024 * 1024


class AnonymiseConfig(Config):
    """What all three take."""

    quasi_identifiers: list[str] = Field(
        description="columns that an attacker may know"
    )
    k: int = Field(description="least rows that are alike in them")
    ident: list[str] = Field([], description="columns to mask with *")
    supp_level: float = Field(
        0.0,
        description="share of rows that may be suppressed: a fraction up to"
        " 1, above it percent",
    )
    generalisation_hierarchies: dict[str, Any] = Field(
        {}, description="by column: simpl_age, simpl_gender, or a form"
    )
    null_quasi_identifiers: str = Field(
        "own_class", description="own_class, suppress or refuse"
    )
    sampling_fraction: float = Field(
        1.0, description="share of the population in the table, for risk"
    )


def apply(
    context: OpExecutionContext,
    config: AnonymiseConfig,
    table: TableHandle,
    scratch: ScratchResource,
    s3: NamedS3Resource,
    **wanted: Any,
) -> TableHandle:
    """Anonymise a table in an op, and show what came of it.

    Args:
        context: Of the op.
        config: What all three take.
        table: The input.
        scratch: Where the output goes.
        s3: Where hierarchies may lie.
        wanted: More fields of ``moderate.dataservices.requests.Request``.

    Raises:
        Failure: One line: the input or the request is wrong, or can't be met.
    """
    from moderate.dataservices.anonymise import (  # noqa: PLC0415
        anonymise,
        refuse_remote,
    )
    from moderate.dataservices.requests import (  # noqa: PLC0415
        NullRule,
        Request,
    )

    def read(rows: "Rows") -> str:
        if not rows.bucket_name:
            return refuse_remote(rows)
        content = s3.client().get(
            rows.bucket_name, rows.file_key, max_bytes=MAX_HIERARCHY_BYTES
        )
        return content.decode("utf-8-sig")

    metrics: dict[str, Any] = {}
    with service(context, metrics):
        request = Request(
            quasi_identifiers=tuple(config.quasi_identifiers),
            k=config.k,
            ident=tuple(config.ident),
            hierarchies=config.generalisation_hierarchies,
            supp_level=config.supp_level,
            nulls=choice(
                NullRule,
                config.null_quasi_identifiers,
                "null_quasi_identifiers",
            ),
            sampling=config.sampling_fraction,
            ignore_case=ignore_case(),
            ignore_ident_case=ignore_case(of_ident=True),
            **wanted,
        )
        context.log.info(
            "supp_level %s: up to %.4g%% of the rows may be suppressed",
            config.supp_level,
            request.limit * 100,
        )
        path = output_path(context, scratch.folder, table)
        output, report = anonymise(table, request, path, read)
        for note in report.notes:
            context.log.warning(note)
        metrics |= anonymisation_metadata(report)
    return output
