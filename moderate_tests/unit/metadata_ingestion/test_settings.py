"""The flows are off and say so until what they need is set."""

import pytest

from moderate.errors import SettingsError
from moderate.flows.metadata_ingestion import wiring
from moderate.flows.metadata_ingestion.catalogue import Catalogue
from moderate.inbox.metadata_sources import Flow
from moderate.settings import MetadataSettings, load_settings

POSTGRES = {
    "POSTGRES_HOST": "h",
    "POSTGRES_USERNAME": "u",
    "POSTGRES_PASSWORD": "secret-password",
}
SERVER = {"OPEN_METADATA_HOST": "h", "OPEN_METADATA_TOKEN": "secret-token"}


def test_a_flow_that_is_off_names_what_is_missing() -> None:
    settings = load_settings(POSTGRES)
    with pytest.raises(SettingsError, match="OPEN_METADATA_TOKEN"):
        wiring.require(settings, Flow.POSTGRES)
    with pytest.raises(SettingsError, match="S3_BUCKET_NAME"):
        wiring.require(load_settings({**POSTGRES, **SERVER}), Flow.DATALAKE)
    wiring.require(load_settings({**POSTGRES, **SERVER}), Flow.POSTGRES)


@pytest.mark.parametrize(
    ("name", "is_ignored"),
    [
        ("template0", True),
        ("template_shop", True),
        ("my_template", False),
        ("postgres", True),
        ("postgres_shop", False),
        ("dagster", True),
        ("moderate_inbox", True),
    ],
)
def test_patterns_match_whole_names(name: str, *, is_ignored: bool) -> None:
    settings = load_settings({**POSTGRES})
    assert settings.postgres
    catalogue = Catalogue(
        settings.postgres, settings.metadata.ignored_databases
    )
    row = {"name": name, "is_template": False, "may_connect": True}
    assert (catalogue._why_not(row) is not None) is is_ignored


def test_a_pattern_that_is_none_is_a_fault_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="METADATA_IGNORED_DATABASES"):
        load_settings({"METADATA_IGNORED_DATABASES": "a(,b"})


def test_the_server_is_reached_as_the_settings_say() -> None:
    settings = load_settings({**SERVER, "OPEN_METADATA_SCHEME": "https"})
    assert settings.open_metadata
    assert settings.open_metadata.url == "https://h:8585/api"
    assert "secret-token" not in repr(settings)
    assert MetadataSettings.title
