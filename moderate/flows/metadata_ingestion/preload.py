"""What the workshop's processes are forked from: the framework, warm.

Whatever a workflow imports while it runs is imported here, once; each
process that is forked from here has it at no cost. A missing module is no
error: it is imported, or missed, when it is needed.
"""

import gc
import importlib
import warnings
from contextlib import suppress
from typing import Any

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


MODELS = (
    "api.data.createDatabase.CreateDatabaseRequest",
    "api.data.createDatabaseSchema.CreateDatabaseSchemaRequest",
    "api.data.createStoredProcedure.CreateStoredProcedureRequest",
    "api.data.createTable.CreateTableRequest",
    "api.data.createTableProfile.CreateTableProfileRequest",
    "entity.data.database.Database",
    "entity.data.databaseSchema.DatabaseSchema",
    "entity.data.storedProcedure.StoredProcedure",
    "entity.data.table.Table",
    (
        "entity.services.connections.testConnectionDefinition"
        ".TestConnectionDefinition"
    ),
    "entity.services.databaseService.DatabaseService",
    "metadataIngestion.workflow.OpenMetadataWorkflowConfig",
    "type.bulkOperationResult.BulkOperationResult",
)
"""Generated models; pydantic completes each when it is first used."""


def warm_up() -> None:
    """Import everything, and complete the models that every workflow uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        for name in MODELS:
            with suppress(ImportError, AttributeError):
                _model(name).model_rebuild(force=False)
    # The collector would otherwise write to memory that all share.
    gc.collect()
    gc.freeze()


def _model(name: str) -> Any:
    module, _, cls = name.rpartition(".")
    generated = importlib.import_module(f"metadata.generated.schema.{module}")
    return getattr(generated, cls)


warm_up()
