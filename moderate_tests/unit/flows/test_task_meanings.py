"""The errors of the platform's tasks are understood by their meaning."""

import pytest

from moderate.flows.platform_tasks.meanings import (
    LONGEST_REASON,
    AskAgain,
    Failed,
    NeedsDid,
    meaning_of,
)

KEY = "alice-assets/x-56f6d899-e91b-491c-9dd8-30685bab7cec.csv"
# As the running service wrote them, but for the two that say "already".
MEANTIME_DID = (
    "ValueError('The DID for user user-0a6b1a-3 seems to have been created"
    " in the meantime')"
)
MEANTIME_PROOF = (
    f"ValueError(\"The proof for object '{KEY}' seems to have been created"
    ' in the meantime")'
)
ALREADY_DID = "ValueError('User alice already has a DID')"
ALREADY_PROOF = f"ValueError(\"Asset object '{KEY}' already has a proof\")"
NOT_FOUND = f"ValueError(\"Asset object '{KEY}' not found\")"
NO_DID = (
    "ValueError('User nodid does not have a DID and thus cannot be a proof"
    " owner')"
)
TRUST_DOWN = (
    "HTTPStatusError(\"Server error '500 Internal Server Error' for url"
    " 'http://trust/api/dids'\\nFor more information check:"
    ' https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/500")'
)


@pytest.mark.parametrize(
    "error",
    [MEANTIME_DID, MEANTIME_PROOF, ALREADY_DID, ALREADY_PROOF, NOT_FOUND],
)
def test_what_another_request_did_first_is_asked_for_again(
    error: str,
) -> None:
    assert isinstance(meaning_of(error), AskAgain)


def test_an_owner_without_a_did_is_named() -> None:
    meaning = meaning_of(NO_DID)
    assert isinstance(meaning, NeedsDid)
    assert meaning.owner == "nodid"
    assert meaning.reason.startswith("User nodid does not have a DID")


@pytest.mark.parametrize(
    "name",
    [
        "o'brien",
        'a "quoted" name',
        "back\\slash",
        "münchen ü",
        "two\nlines",
        "a already has a DID",
        "x does not have a DID and thus cannot be a proof owner",
        "y') + ('",
    ],
)
def test_any_username_is_read_as_it_is(name: str) -> None:
    """Python's repr quotes and escapes; a user may even quote the API."""
    said = f"User {name} does not have a DID and thus cannot be a proof owner"
    meaning = meaning_of(repr(ValueError(said)))
    assert isinstance(meaning, NeedsDid)
    assert meaning.owner == name
    already = meaning_of(repr(ValueError(f"User {name} already has a DID")))
    assert isinstance(already, AskAgain)


@pytest.mark.parametrize(
    "error",
    [
        TRUST_DOWN,
        "ReadTimeout('')",
        "TimeoutError('QueuePool limit of size 5 overflow 10 reached')",
        "",
        "ValueError(",
        "ValueError('a', 'b')",
        "ValueError(__import__('os'))",
        "no exception at all",
        "ValueError('User alice already has a DID, says somebody else')",
    ],
)
def test_anything_else_is_a_failure_with_its_text(error: str) -> None:
    meaning = meaning_of(error)
    assert isinstance(meaning, Failed)
    assert meaning.reason == " ".join(error.split())


def test_a_reason_has_a_bound() -> None:
    meaning = meaning_of("x" * 100_000)
    assert len(meaning.reason) == LONGEST_REASON
