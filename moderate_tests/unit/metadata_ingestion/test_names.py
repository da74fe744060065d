"""Names are those that OpenMetadata has already, and never another's."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.flows.metadata_ingestion.names import (
    LONGEST_NAME,
    mapping_key,
    named,
    service_name,
)
from moderate.inbox.metadata_sources import Flow, Source


@pytest.mark.parametrize(
    ("database", "service"),
    [
        ("moderate", "platform-postgres-moderate"),
        ("my_db", "platform-postgres-my-db"),
        ("Größe.1", "platform-postgres-grosse-1"),
        ('a "b" c', "platform-postgres-a-b-c"),
    ],
)
def test_a_database_is_called_as_the_first_ingestion_called_it(
    database: str, service: str
) -> None:
    assert service_name(Flow.POSTGRES, "platform-postgres", database) == (
        service
    )


def test_a_prefix_is_called_by_its_slug_and_its_hash() -> None:
    digest = hashlib.sha256(b"Raw data/").hexdigest()
    assert service_name(Flow.DATALAKE, "platform-datalake", "Raw data/") == (
        f"platform-datalake-raw-data-{digest}"
    )


def test_a_prefix_is_hashed_with_its_slash() -> None:
    """Services that the first ingestion made are found again."""
    assert service_name(Flow.DATALAKE, "platform-datalake", "raw/") == (
        "platform-datalake-raw-"
        "e414985f31ca63443ae6928bdad426d30c425dbe784f6f449f1fe169e87dbf98"
    )


def test_two_databases_alike_do_not_share_a_service() -> None:
    got = named(Flow.POSTGRES, "p", ["my_db", "my-db"], [])
    first, second = got.sources
    assert (first.name, first.service) == ("my-db", "p-my-db")
    assert second.service.startswith("p-my-db-")
    assert second.service != first.service
    (note,) = got.notes
    assert "my_db" in note
    assert "my-db" in note


def test_a_known_source_keeps_its_name_when_one_alike_comes() -> None:
    known = [Source(Flow.POSTGRES, "my_db", "key", "p-my-db")]
    got = named(Flow.POSTGRES, "p", ["my-db", "my_db"], known)
    services = {source.name: source.service for source in got.sources}
    assert services["my_db"] == "p-my-db"
    assert services["my-db"] != "p-my-db"
    assert [source.name for source in got.new] == ["my-db"]


def test_a_known_source_keeps_its_name_when_the_setting_changes() -> None:
    known = [Source(Flow.POSTGRES, "shop", "key", "old-shop")]
    got = named(Flow.POSTGRES, "new", ["shop", "other"], known)
    services = {source.name: source.service for source in got.sources}
    assert services == {"shop": "old-shop", "other": "new-other"}
    (note,) = got.notes
    assert "keeps the name" in note


def test_a_name_that_is_gone_is_not_given_to_another() -> None:
    known = [Source(Flow.POSTGRES, "my_db", "key", "p-my-db")]
    got = named(Flow.POSTGRES, "p", ["my-db"], known)
    assert got.sources[0].service != "p-my-db"


def test_a_long_prefix_keeps_its_hash_and_fits() -> None:
    base, longest = "platform-datalake", 173
    name = "x" * longest + "/"
    digest = hashlib.sha256(name.encode()).hexdigest()
    whole = f"{base}-{'x' * longest}-{digest}"
    assert len(whole) == LONGEST_NAME
    assert service_name(Flow.DATALAKE, base, name) == whole
    longer = f"x{name}"
    digest = hashlib.sha256(longer.encode()).hexdigest()
    assert service_name(Flow.DATALAKE, base, longer) == (
        f"{base}-{'x' * longest}-{digest}"
    )


def test_long_names_alike_differ_and_fit() -> None:
    base = "p" * LONGEST_NAME
    first, second = named(Flow.POSTGRES, base, ["a", "b"], []).sources
    assert first.service == base
    assert second.service != first.service
    assert len(second.service) == LONGEST_NAME


@given(st.text(max_size=2000))
def test_a_mapping_key_is_valid_short_and_stable(name: str) -> None:
    key = mapping_key(name)
    assert re.fullmatch("[A-Za-z0-9_]+", key)
    assert len(key) <= 50
    assert key == mapping_key(name)


def test_mapping_keys_of_names_alike_differ() -> None:
    alike = ["my_db", "my-db", "My DB", "my.db", 'my"db', "my_db "]
    assert len({mapping_key(name) for name in alike}) == len(alike)
