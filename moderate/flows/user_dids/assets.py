"""How many users there are, over time, plotted by the UI."""

from dagster import (
    AssetMaterialization,
    MaterializeResult,
    MetadataValue,
    asset,
)

from moderate.flows import tags
from moderate.flows.user_dids.kinds import FLOW
from moderate.resources import KeycloakResource

USERS_COUNT = "keycloak_users_count"
USERS = "users"
"""Name of the number in the asset's metadata."""


@asset(
    name=USERS_COUNT,
    group_name="users",
    tags={tags.ASSET_FLOW: FLOW},
    description="How many users Keycloak's realm has. The sensor adds a point"
    " whenever it has read all users, once an hour at least.",
)
def keycloak_users_count(
    keycloak: KeycloakResource,
) -> MaterializeResult[None]:
    """Count the users now."""
    count = keycloak.client().count_users()
    return MaterializeResult(metadata={USERS: MetadataValue.int(count)})


def users_counted(count: int) -> AssetMaterialization:
    """Return the asset's point that a sensor has come by."""
    return AssetMaterialization(
        USERS_COUNT, metadata={USERS: MetadataValue.int(count)}
    )
