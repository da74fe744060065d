"""Names that those who come from the reference know, and find again."""

import yaml

import moderate
from moderate.definitions import defs
from moderate.local.realm_file import OPEN_METADATA_CLIENT
from moderate_tests.unit.deploy.files import VALUES, values_of

JOBS = {
    "propagate_new_user_to_trust_services_job": (
        "propagate_new_user_to_trust_services",
    ),
    "create_asset_object_proof_job": ("create_asset_object_proof",),
    "matrix_profile_job": ("run_matrix_profile",),
    "platform_job_results_job": ("publish_matrix_profile_result",),
    "postgres_ingestion_job": (
        "find_postgres_databases",
        "postgres_metadata_ingestion",
        "postgres_profiler_ingestion",
    ),
    "datalake_ingestion_job": (
        "find_datalake_prefixes",
        "datalake_metadata_ingestion",
        "datalake_profiler_ingestion",
    ),
}
"""Jobs with the ops that they have; one is new, for an op that moved."""

SENSORS = {
    "keycloak_user_sensor",
    "platform_api_asset_object_sensor",
    "matrix_profile_messages_sensor",
}
SCHEDULES = {
    "postgres_ingestion_job_schedule",
    "datalake_ingestion_job_schedule",
}
ASSETS = {
    "building_stock",
    "platform_asset_building_stock",
    "genome_project_datasets",
    "platform_asset_genome_project_datasets",
    "keycloak_users_count",
}
RESOURCES = {
    "keycloak",
    "postgres",
    "open_metadata",
    "s3_object_storage",
    "platform_api",
    "rabbit",
}
SECRET = "dagster-secrets"


def test_jobs_ops_sensors_schedules_assets_and_resources_stay() -> None:
    loaded = defs.get_repository_def()
    for job, ops in JOBS.items():
        nodes = {node.name for node in loaded.get_job(job).all_node_defs}
        assert set(ops) <= nodes, job
    assert {each.name for each in loaded.sensor_defs} >= SENSORS
    assert {each.name for each in loaded.schedule_defs} >= SCHEDULES
    keys = loaded.asset_graph.get_all_asset_keys()
    assert {key.to_user_string() for key in keys} >= ASSETS
    assert set(loaded.get_top_level_resources()) >= RESOURCES


def test_dagster_finds_the_package_by_its_name() -> None:
    """As ``dagster api grpc --package-name moderate`` does."""
    from dagster._core.workspace.autodiscovery import (  # noqa: PLC0415
        loadable_targets_from_python_package,
    )

    (target,) = loadable_targets_from_python_package(
        "moderate", working_directory=None
    )
    assert target.attribute == "defs"
    assert target.target_definition is defs
    assert moderate.defs is defs


def test_the_deployment_keeps_its_name_and_its_secret() -> None:
    chart = values_of("dagster", "production")["dagster-user-deployments"]
    (code,) = chart["deployments"]
    assert code["name"] == "k8s-code-location-moderate"
    assert code["dagsterApiGrpcArgs"] == ["--package-name", "moderate"]
    assert code["port"] == 3030
    assert code["envSecrets"] == [{"name": SECRET}]


def test_open_metadata_keeps_its_keys_and_its_client() -> None:
    values = values_of("openmetadata", "production")
    config = values["openmetadata"]["config"]
    jwt = config["jwtTokenConfiguration"]
    assert jwt["rsaprivateKeyFilePath"].endswith("/om_privkey.der")
    assert jwt["rsapublicKeyFilePath"].endswith("/om_pubkey.der")
    assert jwt["keyId"] == "5756d057-114e-4ecb-8b00-afdb4740f47a"
    (volume,) = values["extraVolumes"]
    assert volume["secret"]["secretName"] == "openmetadata-jwt-keys"
    (mount,) = values["extraVolumeMounts"]
    assert mount["name"] == volume["name"]
    assert jwt["rsaprivateKeyFilePath"].startswith(mount["mountPath"])
    assert config["authentication"]["clientId"] == OPEN_METADATA_CLIENT
    assert OPEN_METADATA_CLIENT == "openmetadata"


def test_the_example_secrets_have_these_names() -> None:
    path = VALUES / "manifests" / "secret-examples.yaml"
    found = list(yaml.safe_load_all(path.read_text()))
    names = {each["metadata"]["name"] for each in found}
    assert {SECRET, "openmetadata-jwt-keys"} <= names
