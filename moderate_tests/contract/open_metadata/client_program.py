"""What the official client does in ``test_client``, as a program.

It runs in a process of its own: the framework takes seconds to import, warns
of itself, and must not share a process with the emulator's hollow stand-in.
It reads ``{"url": ..., "token": ..., "service": ...}`` from its standard
input and writes what it saw to its standard output, as JSON.
"""

import json
import sys
from typing import Any

from metadata.generated.schema.api.data.createDatabase import (
    CreateDatabaseRequest,
)
from metadata.generated.schema.api.data.createDatabaseSchema import (
    CreateDatabaseSchemaRequest,
)
from metadata.generated.schema.api.data.createTable import CreateTableRequest
from metadata.generated.schema.api.data.createTableProfile import (
    CreateTableProfileRequest,
)
from metadata.generated.schema.api.services.createDatabaseService import (
    CreateDatabaseServiceRequest,
)
from metadata.generated.schema.entity.data.table import Table, TableData
from metadata.ingestion.ometa.ometa_api import (
    OpenMetadata,
    OpenMetadataConnection,
)


def main() -> None:
    """Make a service with two tables, and read it back."""
    given = json.load(sys.stdin)
    metadata = _connect(given["url"], given["token"])
    schema = _make_schema(metadata, given["service"])
    result = _make_tables(metadata, schema)
    json.dump({**result, **_profile(metadata, f"{schema}.t")}, sys.stdout)


def _connect(url: str, token: str) -> Any:
    connection = {
        "hostPort": f"{url}/api",
        "authProvider": "openmetadata",
        "securityConfig": {"jwtToken": token},
        # The 2.0 client refuses a 1.12 server, unless told so.
        "enableVersionValidation": False,
    }
    metadata = OpenMetadata(OpenMetadataConnection.model_validate(connection))
    metadata.health_check()
    return metadata


def _make_schema(metadata: Any, service: str) -> str:
    config = {
        "type": "Postgres",
        "username": "u",
        "hostPort": "db.example:1",
        "database": "shop",
    }
    made = metadata.create_or_update(
        CreateDatabaseServiceRequest(
            name=service,
            serviceType="Postgres",
            connection={"config": config},
        )
    )
    database = metadata.create_or_update(
        CreateDatabaseRequest(
            name="shop", service=made.fullyQualifiedName.root
        )
    )
    schema = metadata.create_or_update(
        CreateDatabaseSchemaRequest(
            name="hr", database=database.fullyQualifiedName.root
        )
    )
    return str(schema.fullyQualifiedName.root)


def _make_tables(metadata: Any, schema: str) -> dict[str, Any]:
    requests = [
        CreateTableRequest(
            name=name,
            databaseSchema=where,
            columns=[{"name": "a", "dataType": "INT"}],
        )
        for name, where in (
            ("t", schema),
            ('we"ird.name/ü', schema),
            ("bad", f"{schema}.no"),
        )
    ]
    result = metadata.bulk_create_or_update(requests)
    listed = metadata.list_all_entities(
        entity=Table, params={"databaseSchema": schema}, limit=1
    )
    missing = metadata.get_by_name(entity=Table, fqn=f"{schema}.nope")
    found = [table.name.root for table in listed]
    by_name = [
        metadata.get_by_name(entity=Table, fqn=each.request) is not None
        for each in result.successRequest
    ]
    return {
        "processed": result.numberOfRowsProcessed.root,
        "failed": [each.message for each in result.failedRequest],
        "listed": sorted(found),
        "missing": missing,
        "by_name": by_name,
    }


def _profile(metadata: Any, name: str) -> dict[str, Any]:
    table = metadata.get_by_name(entity=Table, fqn=name)
    metadata.ingest_profile_data(
        table,
        CreateTableProfileRequest(
            tableProfile={"timestamp": 1, "rowCount": 5},
            columnProfile=[
                {"name": "a", "timestamp": 1, "nullProportion": 0.5}
            ],
        ),
    )
    sample = metadata.ingest_table_sample_data(
        table, TableData(columns=["a"], rows=[[1], [2]])
    )
    latest = metadata.get_latest_table_profile(name)
    return {
        "rows": latest.profile.rowCount,
        "nulls": latest.columns[0].profile.nullProportion,
        "sample": len(sample.rows),
    }


if __name__ == "__main__":
    main()
