"""The kinds of entities that the emulator knows, and how each is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from moderate.local.open_metadata.models import load

VOTES = {"upVotes": 0, "downVotes": 0, "upVoters": [], "downVoters": []}
#: Stands for "is left out when there is none".
ABSENT = object()


def _lists(*names: str) -> dict[str, Any]:
    return {name: [] for name in names}


@dataclass(frozen=True)
class Kind:
    """A kind of entity.

    Attributes:
        name: What error messages and references call it.
        path: Its collection, below ``/api/v1/``.
        create_model: What its create requests are; see ``models.load``.
        entity_model: What is shown.
        parent: The kind that it lies in, and the field of the create
            request that names it; empty for what lies in nothing.
        asked: Fields that are shown only when asked for, with what is shown
            when they are empty.
        whole: Which of them PATCH and DELETE show.
        updated: Which of them a PUT shows that found the entity there.
        starred: Which of them ``fields=*`` shows.
        fixed: Fields that every entity of the kind has.
    """

    name: str
    path: str
    create_model: str
    entity_model: str
    parent: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    starred: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def create(self) -> type[BaseModel]:
        """The model of a create request."""
        return load(self.create_model)

    @cached_property
    def fields(self) -> frozenset[str]:
        """All that may be asked for by ``fields=``."""
        return frozenset(load(self.entity_model).model_fields) | {"*"}

    def prepare(self) -> None:
        """Load the models, so that no request has to wait for it."""
        for place in (self.create_model, self.entity_model):
            load(place).model_rebuild()


_COMMON = ("owners", "tags", "followers", "domains", "dataProducts")
_UNPROCESSED = {"entityStatus": "Unprocessed"}
_SERVICE_STAR = ("pipelines", "tags", "owners", "followers", "dataProducts")
_SERVICE_ASKED = _lists("pipelines", *_COMMON)
_IN_DATABASE_ASKED = {
    **_lists(*_COMMON),
    "votes": VOTES,
    "usageSummary": ABSENT,
    "extension": ABSENT,
    "lifeCycle": ABSENT,
}
_IN_DATABASE_WHOLE = (*_COMMON, "votes")

DATABASE_SERVICE = Kind(
    name="databaseService",
    path="services/databaseServices",
    create_model=(
        "api.services.createDatabaseService.CreateDatabaseServiceRequest"
    ),
    entity_model="entity.services.databaseService.DatabaseService",
    asked=_SERVICE_ASKED,
    whole=_SERVICE_STAR,
    starred=_SERVICE_STAR,
    fixed=_UNPROCESSED,
)
DATABASE = Kind(
    name="database",
    path="databases",
    create_model="api.data.createDatabase.CreateDatabaseRequest",
    entity_model="entity.data.database.Database",
    parent="service",
    asked=_IN_DATABASE_ASKED | {"databaseProfilerConfig": ABSENT},
    whole=_IN_DATABASE_WHOLE,
    updated=("owners", "domains"),
    starred=_IN_DATABASE_WHOLE,
    fixed={"default": False, **_UNPROCESSED},
)
DATABASE_SCHEMA = Kind(
    name="databaseSchema",
    path="databaseSchemas",
    create_model="api.data.createDatabaseSchema.CreateDatabaseSchemaRequest",
    entity_model="entity.data.databaseSchema.DatabaseSchema",
    parent="database",
    asked=_IN_DATABASE_ASKED | {"databaseSchemaProfilerConfig": ABSENT},
    whole=_IN_DATABASE_WHOLE,
    updated=("owners", "domains"),
    starred=_IN_DATABASE_WHOLE,
    fixed=_UNPROCESSED,
)
TABLE = Kind(
    name="table",
    path="tables",
    create_model="api.data.createTable.CreateTableRequest",
    entity_model="entity.data.table.Table",
    parent="databaseSchema",
    asked=_IN_DATABASE_ASKED
    | {"tableConstraints": []}
    | dict.fromkeys(
        (
            "schemaDefinition",
            "tableProfilerConfig",
            "customMetrics",
            "profile",
            "joins",
            "dataModel",
            "sampleData",
            "testSuite",
        ),
        ABSENT,
    ),
    whole=("tableConstraints", *_IN_DATABASE_WHOLE),
    updated=("tableConstraints", "owners", "domains"),
    starred=("tableConstraints", *_IN_DATABASE_WHOLE),
    fixed={"processedLineage": False, **_UNPROCESSED},
)
# From here on nothing but `policy` was recorded; the shapes are those of the
# kinds above.
STORED_PROCEDURE = Kind(
    name="storedProcedure",
    path="storedProcedures",
    create_model="api.data.createStoredProcedure.CreateStoredProcedureRequest",
    entity_model="entity.data.storedProcedure.StoredProcedure",
    parent="databaseSchema",
    asked=_IN_DATABASE_ASKED,
    whole=_IN_DATABASE_WHOLE,
    starred=_IN_DATABASE_WHOLE,
    fixed={"processedLineage": False, **_UNPROCESSED},
)
STORAGE_SERVICE = Kind(
    name="storageService",
    path="services/storageServices",
    create_model=(
        "api.services.createStorageService.CreateStorageServiceRequest"
    ),
    entity_model="entity.services.storageService.StorageService",
    asked=_SERVICE_ASKED,
    whole=_SERVICE_STAR,
    starred=_SERVICE_STAR,
    fixed=_UNPROCESSED,
)
CONTAINER = Kind(
    name="container",
    path="containers",
    create_model="api.data.createContainer.CreateContainerRequest",
    entity_model="entity.data.container.Container",
    parent="service",
    asked=_IN_DATABASE_ASKED,
    whole=_IN_DATABASE_WHOLE,
    starred=_IN_DATABASE_WHOLE,
    fixed=_UNPROCESSED,
)
INGESTION_PIPELINE = Kind(
    name="ingestionPipeline",
    path="services/ingestionPipelines",
    create_model=(
        "api.services.ingestionPipelines.createIngestionPipeline."
        "CreateIngestionPipelineRequest"
    ),
    entity_model=(
        "entity.services.ingestionPipelines.ingestionPipeline."
        "IngestionPipeline"
    ),
    parent="service",
    asked=_lists("owners", "domains") | {"pipelineStatuses": ABSENT},
)
CLASSIFICATION = Kind(
    name="classification",
    path="classifications",
    create_model=(
        "api.classification.createClassification.CreateClassificationRequest"
    ),
    entity_model="entity.classification.classification.Classification",
)
TAG = Kind(
    name="tag",
    path="tags",
    create_model="api.classification.createTag.CreateTagRequest",
    entity_model="entity.classification.tag.Tag",
    parent="classification",
)
POLICY = Kind(
    name="policy",
    path="policies",
    create_model="api.policies.createPolicy.CreatePolicyRequest",
    entity_model="entity.policies.policy.Policy",
    fixed={"enabled": True, "provider": "user"},
)

KINDS = (
    DATABASE_SERVICE,
    DATABASE,
    DATABASE_SCHEMA,
    TABLE,
    STORED_PROCEDURE,
    STORAGE_SERVICE,
    CONTAINER,
    INGESTION_PIPELINE,
    CLASSIFICATION,
    TAG,
    POLICY,
)
#: By the kind of a child: which kinds its parent may have.
PARENTS: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "database": (DATABASE_SERVICE,),
        "databaseSchema": (DATABASE,),
        "table": (DATABASE_SCHEMA,),
        "storedProcedure": (DATABASE_SCHEMA,),
        "container": (STORAGE_SERVICE,),
        "ingestionPipeline": (DATABASE_SERVICE, STORAGE_SERVICE),
        "tag": (CLASSIFICATION,),
    }
)
SERVICES = (DATABASE_SERVICE, STORAGE_SERVICE)
