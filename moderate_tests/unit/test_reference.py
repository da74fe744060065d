"""What a row of the reference's state comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderate.flows.datasets.before import names_of
from moderate.inbox.model import NewItem, State
from moderate.inbox.reference_uploads import ReferenceUpload
from moderate.reference import LeftOut, Row, plan

COMMIT = "ae63ae3f35ba44c4fde46998af7b4e19621ecf81"


def understood(key: str, value: str) -> NewItem | ReferenceUpload | LeftOut:
    found = plan([Row(1, key.encode(), value.encode())])
    results: list[NewItem | ReferenceUpload | LeftOut] = [
        *found.users,
        *found.uploads,
        *found.left_out,
    ]
    (one,) = results
    return one


def test_a_user_is_done_by_the_name_that_keycloak_gives() -> None:
    item = understood("user-trust-did:a:b ü", "2024-05-02T10:11:12.131415")
    assert isinstance(item, NewItem)
    assert (item.kind, item.key, item.state) == (
        "user_did",
        "a:b ü",
        State.DONE,
    )
    assert item.payload["username"] == "a:b ü"


@pytest.mark.parametrize(
    ("key", "dataset", "name"),
    [
        ("building-stock-1-dynamic-a", "building_stock", "1-dynamic-a"),
        ("genome-project-weather", "genome_project_datasets", "weather"),
    ],
)
def test_an_upload_belongs_to_a_dataset_of_ours(
    key: str, dataset: str, name: str
) -> None:
    found = understood(f"git-dataset-commit:{key}", COMMIT)
    assert found == ReferenceUpload(dataset, name, COMMIT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user-trust-did:", "2024-05-02T10:11:12"),
        ("user-trust-did:a", ""),
        ("user-trust-did:a", "yes"),
        ("user-trust-did", "2024-05-02T10:11:12"),
        ("git-dataset-commit:building-stock-a", "main"),
        ("git-dataset-commit:building-stock-a", f"{COMMIT}; rm -rf"),
        ("git-dataset-commit:building-stock-", COMMIT),
        ("git-dataset-commit:building-stock-../a", COMMIT),
        ("git-dataset-commit:other-a", COMMIT),
        ("other:a", "x"),
        ("", "x"),
    ],
)
def test_what_is_not_understood_is_left_out_with_a_reason(
    key: str, value: str
) -> None:
    found = understood(key, value)
    assert isinstance(found, LeftOut)
    assert found.row == 1
    assert found.why


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary() | st.sampled_from([b"user-trust-did:a"]),
            st.none() | st.binary() | st.sampled_from([b"2024-05-02"]),
        )
    )
)
def test_every_row_ends_in_one_place(
    rows: list[tuple[bytes | None, bytes | None]],
) -> None:
    found = plan(Row(n, key, value) for n, (key, value) in enumerate(rows))
    left = {each.row for each in found.left_out}
    taken = [row for n, row in enumerate(rows) if n not in left]
    keys = {key for key, _ in taken}
    assert len(found.users) + len(found.uploads) == len(keys)


def test_names_of_files_are_those_that_the_reference_gave() -> None:
    """Cut where all paths begin alike, by letters and not by folders."""
    assert names_of(
        [
            "data/meters/cleaned/electricity_cleaned.csv",
            "data/weather/weather.csv",
            "data/metadata/metadata.csv",
        ]
    ) == {
        "data/meters/cleaned/electricity_cleaned.csv": (
            "meters-cleaned-electricity-cleaned"
        ),
        "data/weather/weather.csv": "weather-weather",
        "data/metadata/metadata.csv": "metadata-metadata",
    }
    assert names_of(["T3.1-a/x/f.csv", "T3.2-b/y/g.csv"]) == {
        "T3.1-a/x/f.csv": "1-a-x-f",
        "T3.2-b/y/g.csv": "2-b-y-g",
    }


def test_files_of_one_name_have_none() -> None:
    """The reference took one for the other."""
    paths = ["d/a b.csv", "d/a_b.csv", "e/c.csv"]
    assert set(names_of(paths)) == {"e/c.csv"}
