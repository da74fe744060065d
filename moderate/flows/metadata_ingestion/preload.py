"""What the workshop's processes are forked from: the framework, warm.

Whatever a workflow imports while it runs is imported here, once; each
process that is forked from here has it at no cost. A missing module is no
error: it is imported, or missed, when it is needed.
"""

import gc
import importlib
import warnings
from contextlib import suppress

MODULES = (
    "moderate.flows.metadata_ingestion.child",
    "moderate.flows.metadata_ingestion.framework",
    "metadata.workflow.metadata",
    "metadata.workflow.profiler",
    "metadata.core.connections.test_connection.aws",
    "metadata.ingestion.sink.metadata_rest",
    "metadata.ingestion.source.api.api_service",
    "metadata.ingestion.source.database.datalake.clients.s3",
    "metadata.ingestion.source.database.datalake.connection",
    "metadata.ingestion.source.database.datalake.metadata",
    "metadata.ingestion.source.database.datalake.service_spec",
    "metadata.ingestion.source.database.dbt.dbt_service",
    "metadata.ingestion.source.database.postgres.connection",
    "metadata.ingestion.source.database.postgres.metadata",
    "metadata.ingestion.source.database.postgres.service_spec",
    "metadata.ingestion.source.drive.drive_service",
    "metadata.ingestion.source.messaging.messaging_service",
    "metadata.ingestion.source.mlmodel.mlmodel_service",
    "metadata.ingestion.source.search.search_service",
    "metadata.ingestion.source.security.security_service",
    "metadata.profiler.processor.default",
    "metadata.profiler.source.database.base.profiler_source",
    "metadata.utils.s3_utils",
    "netrc",
    "numpy.rec",
    "psycopg2.extras",
)


def warm_up() -> None:
    """Import everything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
    # The collector would otherwise write to memory that all share.
    gc.collect()
    gc.freeze()


warm_up()
