"""The flows of users' DIDs and assets' proofs."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from moderate.settings.fields import (
    Group,
    Seconds,
)


class UserDidSettings(Group):
    """The user DID flow: how users are found, and who gets a DID."""

    title: ClassVar[str] = "User DIDs"

    page_size: int = Field(
        1_000,
        alias="USER_DIDS_PAGE_SIZE",
        ge=50,
        le=10_000,
        description="users that one call to Keycloak reads at the most",
    )
    sweep_budget: Seconds = Field(
        timedelta(seconds=10),
        alias="USER_DIDS_SWEEP_BUDGET_SECONDS",
        ge=timedelta(seconds=1),
        le=timedelta(seconds=30),
        description="seconds that one tick may read pages of users; the next "
        "tick goes on",
    )
    reconcile_interval: Seconds = Field(
        timedelta(hours=1),
        alias="USER_DIDS_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds after which all users are looked at again, "
        "although their count says that there is no need",
    )
    overlap: Seconds = Field(
        timedelta(minutes=10),
        alias="USER_DIDS_OVERLAP_SECONDS",
        ge=timedelta(),
        le=timedelta(days=7),
        description="seconds before the latest user's creation from which on "
        "users are asked for again, where Keycloak (26.6 or newer) filters by "
        "creation",
    )
    service_accounts: bool = Field(
        default=False,
        alias="USER_DIDS_SERVICE_ACCOUNTS",
        description="whether service accounts get a DID, `true` or `false`",
    )
    disabled_users: bool = Field(
        default=True,
        alias="USER_DIDS_DISABLED_USERS",
        description="whether disabled users get a DID, `true` or `false`",
    )
    batch_size: int = Field(
        300,
        alias="USER_DIDS_BATCH_SIZE",
        ge=1,
        le=2_000,
        description="users that travel in one run at the most",
    )
    max_failures: int = Field(
        10,
        alias="USER_DIDS_MAX_FAILURES",
        ge=1,
        description="failed attempts after which a user's item is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=5),
        alias="USER_DIDS_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time, "
        "up to half an hour",
    )


class AssetProofSettings(Group):
    """The asset proof flow."""

    title: ClassVar[str] = "Asset proofs"

    objects_per_tick: int = Field(
        5_000,
        alias="ASSET_PROOFS_OBJECTS_PER_TICK",
        ge=1,
        description="new objects that one tick reads at the most",
    )
    look_back: Seconds = Field(
        timedelta(minutes=2),
        alias="ASSET_PROOFS_LOOK_BACK_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds that the platform may take to store an upload; "
        "objects with a lower number may show up so much later",
    )
    reconcile_interval: Seconds = Field(
        timedelta(hours=1),
        alias="ASSET_PROOFS_RECONCILE_SECONDS",
        ge=timedelta(seconds=1),
        description="seconds after which all objects without a proof are "
        "looked at again",
    )
    batch_size: int = Field(
        300,
        alias="ASSET_PROOFS_BATCH_SIZE",
        ge=1,
        le=2_000,
        description="objects that travel in one run at the most",
    )
    max_failures: int = Field(
        10,
        alias="ASSET_PROOFS_MAX_FAILURES",
        ge=1,
        description="failed attempts after which an object's item is dead",
    )
    backoff_base: Seconds = Field(
        timedelta(seconds=5),
        alias="ASSET_PROOFS_BACKOFF_SECONDS",
        ge=timedelta(seconds=0.1),
        description="seconds before the second attempt; doubles each time, "
        "up to half an hour",
    )
