"""What the workshop's processes are forked from: the framework, warm.

Whatever a workflow imports while it runs is imported here, once; each
process that is forked from here has it at no cost. A missing module is no
error: it is imported, or missed, when it is needed.
"""

import importlib
import warnings
from contextlib import suppress

MODULES = (
    "moderate.flows.metadata_ingestion.child",
    "metadata.workflow.metadata",
    "metadata.workflow.profiler",
    "metadata.ingestion.source.database.postgres.metadata",
    "metadata.ingestion.source.database.postgres.connection",
    "metadata.ingestion.source.database.postgres.service_spec",
    "metadata.ingestion.source.database.datalake.metadata",
    "metadata.ingestion.source.database.datalake.connection",
    "metadata.ingestion.source.database.datalake.service_spec",
    "metadata.ingestion.sink.metadata_rest",
    "metadata.profiler.source.database.base.profiler_source",
)


def warm_up() -> None:
    """Import everything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            with suppress(ImportError):
                importlib.import_module(name)


warm_up()
