"""The composition root: what Dagster loads. No logic.

Loading needs no network and no setting: a flow whose settings are absent is
off and says so in its ticks. Settings that are there but wrong stop the code
location at once, with all faults listed.
"""

from collections.abc import Mapping
from typing import Any

from dagster import Definitions

from moderate.flows.asset_proofs.job import create_asset_object_proof_job
from moderate.flows.asset_proofs.sensor import (
    platform_api_asset_object_sensor,
)
from moderate.flows.data_services import catalogue, sensors
from moderate.flows.data_services.resources import NamedS3Resource
from moderate.flows.datasets.assets import (
    dataset_assets,
    dataset_jobs,
    dataset_schedules,
)
from moderate.flows.matrix_profile.job import (
    matrix_profile_job,
    platform_job_results_job,
)
from moderate.flows.matrix_profile.sensor import (
    matrix_profile_leftovers_sensor,
    matrix_profile_messages_sensor,
    matrix_profile_reconcile_sensor,
)
from moderate.flows.metadata_ingestion.job import (
    metadata_jobs,
    metadata_schedules,
)
from moderate.flows.operations import housekeeping
from moderate.flows.operations.admin import inbox_admin_job
from moderate.flows.operations.alerts import (
    alert_dead_items_sensor,
    alert_failed_runs_sensor,
)
from moderate.flows.operations.observing import (
    operations_assets,
    operations_sensor,
)
from moderate.flows.operations.runs import OurJobs
from moderate.flows.user_dids.assets import keycloak_users_count
from moderate.flows.user_dids.job import (
    propagate_new_user_to_trust_services_job,
)
from moderate.flows.user_dids.sensor import keycloak_user_sensor
from moderate.kinds import all_kinds
from moderate.logs import configure_logging
from moderate.resources import (
    InboxSource,
    KeycloakResource,
    OpenMetadataResource,
    PlatformApiResource,
    PostgresResource,
    RabbitResource,
    S3Resource,
    redactor,
)
from moderate.settings import process_settings

__all__ = ["all_kinds", "build_defs", "defs"]


def build_defs(**overrides: Any) -> Definitions:
    """Build the code location.

    Args:
        overrides: Resources by key, in place of the real ones.
    """
    data_services = catalogue.jobs()
    inbox_jobs = [
        matrix_profile_job,
        platform_job_results_job,
        propagate_new_user_to_trust_services_job,
        create_asset_object_proof_job,
    ]
    batch_jobs = [
        inbox_admin_job,
        *data_services,
        *dataset_jobs,
        *metadata_jobs,
    ]
    pruning, hourly = housekeeping.build(inbox_jobs, batch_jobs)
    jobs = [*inbox_jobs, pruning, *batch_jobs]
    assets = [keycloak_users_count, *dataset_assets, operations_assets]
    resources: Mapping[str, Any] = {
        "inbox": InboxSource(all_kinds),
        "keycloak": KeycloakResource(),
        "open_metadata": OpenMetadataResource(),
        "our_jobs": OurJobs.of(jobs, assets),
        "platform_api": PlatformApiResource(),
        "postgres": PostgresResource(),
        "rabbit": RabbitResource(),
        "s3": NamedS3Resource(),
        "s3_object_storage": S3Resource(),
    }
    return Definitions(
        assets=assets,
        jobs=jobs,
        schedules=[*dataset_schedules, *metadata_schedules, hourly],
        sensors=[
            matrix_profile_messages_sensor,
            matrix_profile_reconcile_sensor,
            matrix_profile_leftovers_sensor,
            keycloak_user_sensor,
            operations_sensor,
            alert_dead_items_sensor,
            alert_failed_runs_sensor,
            platform_api_asset_object_sensor,
            *sensors.sensors(data_services),
        ],
        resources={**resources, **overrides},
    )


def _configure_logs() -> None:
    service = process_settings().service
    configure_logging(service.log_format, service.log_level, redactor())


_configure_logs()
defs = build_defs()
