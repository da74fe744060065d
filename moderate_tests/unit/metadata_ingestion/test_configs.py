"""The framework's models take what we make, and mean what we mean."""

import json
import re
from dataclasses import replace

import pytest
from pydantic import SecretStr

from moderate.flows.metadata_ingestion import configs, postgres, prefixes
from moderate.flows.metadata_ingestion.fqns import fqn_of
from moderate.flows.metadata_ingestion.names import is_nameless
from moderate.flows.metadata_ingestion.plan import (
    SCHEMA,
    TABLE,
    WHOLE,
    table,
)
from moderate.flows.metadata_ingestion.task import (
    LakePlace,
    Limits,
    Logs,
    PostgresPlace,
    Server,
    Task,
)
from moderate.inbox.metadata_sources import Flow, Part, Source, Step
from moderate.settings import LogFormat

PASSWORD = "p@ss:w/ö rd%41'\"$#?"
A, B = table("sales", "a.b"), table("sales", "A.b")
PLACE = PostgresPlace("h", 5432, "u", SecretStr(PASSWORD), "verify-full")
TASK = Task(
    step=Step.METADATA,
    source=Source(Flow.POSTGRES, "my db", "key", "platform-postgres-my-db"),
    server=Server("https://h:1/api", SecretStr("token")),
    place=PLACE,
    limits=Limits(1, 1, 1000),
    logs=Logs(LogFormat.JSON, "INFO"),
    changed=(A,),
)
LAKE = replace(
    TASK,
    source=Source(Flow.DATALAKE, "raw/", "key", "lake"),
    place=LakePlace("b", "http://h:2", "r", "id", SecretStr(PASSWORD)),
    changed=(Part(TABLE, "raw/a.csv"),),
)

pytestmark = pytest.mark.usefixtures("framework")


def test_a_narrowed_run_cleans_nothing_up() -> None:
    pipeline = configs.workflow_config(TASK).source.sourceConfig.config
    assert pipeline.markDeletedTables is False
    assert pipeline.markDeletedStoredProcedures is False
    assert pipeline.markDeletedSchemas is False
    assert pipeline.markDeletedDatabases is False


@pytest.mark.parametrize("whole", [True, False])
def test_the_servers_own_schemas_are_never_taken(*, whole: bool) -> None:
    from metadata.utils.filters import filter_by_schema  # noqa: PLC0415

    task = replace(TASK, whole=whole)
    pipeline = configs.workflow_config(task).source.sourceConfig.config
    service = f"{TASK.source.service}.{TASK.source.name}"
    pattern = pipeline.schemaFilterPattern
    assert not filter_by_schema(pattern, f"{service}.sales")
    assert filter_by_schema(pattern, f"{service}.information_schema")


def test_a_pattern_matches_its_names_and_no_other() -> None:
    from metadata.utils.filters import filter_by_table  # noqa: PLC0415

    pattern = configs.exactly([fqn_of(TASK, A)])
    assert not filter_by_table(pattern, fqn_of(TASK, A))
    assert filter_by_table(pattern, fqn_of(TASK, B))
    assert filter_by_table(pattern, fqn_of(TASK, A) + "x")
    assert filter_by_table(pattern, fqn_of(TASK, A).replace(".", "x"))
    assert filter_by_table(configs.exactly([]), "anything")


def test_a_password_of_any_characters_arrives() -> None:
    connection = configs.workflow_config(TASK).source.serviceConnection
    config = connection.root.config
    assert config.authType.password.get_secret_value() == PASSWORD
    assert PASSWORD not in repr(config)
    lake = configs.workflow_config(LAKE).source.serviceConnection.root.config
    keys = lake.configSource.securityConfig
    assert keys.awsSecretAccessKey.get_secret_value() == PASSWORD
    assert str(keys.endPointURL).startswith("http://h:2")
    assert lake.prefix == "raw/"


def test_the_profiler_takes_each_connection_for_what_it_is() -> None:
    for task in (TASK, LAKE):
        config = configs.workflow_config(replace(task, step=Step.PROFILE))
        dumped = config.source.serviceConnection.root.config.model_dump(
            exclude_unset=True
        )
        assert dumped["type"].value.lower() == config.source.type


def test_a_wrong_field_fails() -> None:
    place = replace(PLACE, sslmode="no such mode")
    with pytest.raises(ValueError, match="no such mode"):
        configs.workflow_config(replace(TASK, place=place))


def test_the_server_does_not_get_the_password_unless_asked_for() -> None:
    assert configs.server_config(TASK).storeServiceConnection is False
    asked = replace(TASK, store_connection=True)
    assert configs.server_config(asked).storeServiceConnection is True


def test_what_is_a_table_is_what_the_framework_takes_for_one() -> None:
    from metadata.readers.dataframe.reader_factory import (  # noqa: PLC0415
        SupportedTypes,
    )

    ends = {kind.value.lower() for kind in SupportedTypes}
    assert set(prefixes.FORMATS) == ends


def test_names_are_quoted_as_the_framework_quotes_them() -> None:
    assert fqn_of(TASK, A) == ('platform-postgres-my-db.my db.sales."a.b"')
    long = Part(TABLE, "raw/" + "x" * 300 + ".csv")
    assert len(fqn_of(LAKE, long)) < 60


@pytest.mark.parametrize("name", ['da"ta', '"data"x', 'da"t.a', "da\nta"])
def test_the_framework_has_no_qualified_name_with_some_signs(
    name: str,
) -> None:
    """Such a database is left out; if it has one some day, no longer."""
    assert is_nameless(name)
    task = replace(TASK, source=replace(TASK.source, name=name))
    with pytest.raises(ValueError, match="name"):
        fqn_of(task, WHOLE)
    schema = Part(SCHEMA, json.dumps([name]))
    with pytest.raises(ValueError, match="name"):
        fqn_of(TASK, schema)
    assert fqn_of(TASK, table("sales", name))


def test_what_the_server_keeps_for_itself_has_no_name() -> None:
    from metadata.ingestion.models.custom_basemodel_validation import (  # noqa: PLC0415
        RESTRICTED_KEYWORDS,
    )

    assert all(is_nameless(f"da{sign}ta") for sign in RESTRICTED_KEYWORDS)
    assert not is_nameless("a:b's Größe")


def test_no_name_of_a_database_is_an_argument_of_its_connection() -> None:
    name = "x?host=evil.example&hostaddr=10.0.0.1&user=eve&options=-c%20a#/@"
    task = replace(
        TASK,
        source=replace(TASK.source, name=name),
        place=replace(PLACE, host="::1"),
    )
    service = configs.workflow_config(task).source.serviceConnection
    connection = service.root.config
    url = postgres.url_of(connection)
    assert url.get_dialect()().create_connect_args(url) == (
        [],
        {
            "host": "::1",
            "port": 5432,
            "user": "u",
            "password": PASSWORD,
            "dbname": name,
        },
    )
    assert connection.hostPort == "[::1]:5432"
    assert connection.connectionArguments.root["dbname"] == name


def test_all_names_that_the_framework_writes_into_sql_are_bound() -> None:
    from metadata.ingestion.source.database.postgres import (  # noqa: PLC0415
        queries,
    )

    written = {
        name: text
        for name, text in vars(queries).items()
        if isinstance(text, str) and re.search(r"'\{\w+\}'", text)
    }
    assert set(written) == set(postgres.QUERIES)
    evil = "x'; DROP TABLE a;--"
    for text in written.values():
        names = dict.fromkeys(re.findall(r"\{(\w+)\}", text), evil)
        compiled = postgres.Bound(text).format(**names).compile()
        assert compiled.params == names
        assert evil not in str(compiled)


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_the_authority_may_be_libpqs(mode: str) -> None:
    from metadata.utils.ssl_manager import check_ssl_and_init  # noqa: PLC0415

    task = replace(TASK, place=replace(PLACE, sslmode=mode))
    service = configs.workflow_config(task).source.serviceConnection
    connection = service.root.config
    # With a manager it is refused: it knows no certificate of an authority.
    assert check_ssl_and_init(connection) is None
    assert connection.connectionArguments.root["sslmode"] == mode
