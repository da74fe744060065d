"""Secrets are taken out of text in whatever spelling they appear."""

import base64
import json
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from moderate.redaction import MASK, Redactor

SECRET = 'pa$$ wörd/+=&%"9\\'
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_c2ln"

secrets = st.text(
    st.characters(codec="utf-8", exclude_characters="*"),
    min_size=6,
    max_size=40,
)
texts = st.text(st.characters(codec="utf-8"), max_size=200)


@given(secrets, texts, texts)
def test_a_known_secret_never_survives(
    secret: str, before: str, after: str
) -> None:
    redacted = Redactor([secret]).redact(before + secret + after)
    assert secret not in redacted


@pytest.mark.parametrize(
    "spell",
    [
        quote,
        lambda s: quote(s, safe=""),
        quote_plus,
        lambda s: quote(s, safe="").lower(),
        lambda s: json.dumps(s)[1:-1],
        lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
        lambda s: repr(s)[1:-1],
        lambda s: repr(s + "'\"")[1:-4],
    ],
)
@given(secret=secrets)
def test_no_spelling_of_a_known_secret_survives(
    spell: Callable[[str], str], secret: str
) -> None:
    secret = secret.lower()
    spelled = spell(secret)
    redacted = Redactor([SecretStr(secret)]).redact(f"<{spelled}>")
    assert spelled not in redacted


@given(
    secret=st.text(string.ascii_letters + string.digits, min_size=9),
    before=st.binary(max_size=7),
    after=st.binary(max_size=7),
)
def test_base64_of_a_text_with_the_secret_inside_gives_nothing_away(
    secret: str, before: bytes, after: bytes
) -> None:
    """Such as ``Basic base64(user:password)``, at any alignment."""
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    redacted = Redactor([secret]).redact(encoded)
    taken_out = len(encoded) - len(redacted.replace(MASK, ""))
    assert taken_out >= len(secret) * 8 // 6 - 1


@given(texts, st.lists(secrets, max_size=3))
def test_redacting_twice_changes_nothing(text: str, known: list[str]) -> None:
    redactor = Redactor(known)
    once = redactor.redact(text)
    assert redactor.redact(once) == once


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("amqp://worker:hunter2!@rabbit:5672/%2F", "hunter2!"),
        ("amqp://worker:p@ss@rabbit:5672/", "p@ss"),
        ("redis://:hunter2@cache/0", "hunter2"),
        ("https://ghp_0123456789abcdef@github.com/o/r", "ghp_0123"),
        ("GET /k?X-Amz-Signature=0a1b2c&X-Amz-Date=1", "0a1b2c"),
        ("/k?X-Amz-Credential=AKIA%2F2026%2Fs3%2Faws4_request", "AKIA"),
        ("/k?x-amz-security-token=FwoGZXIv", "FwoGZXIv"),
        ("/k?X-Goog-Signature=5d2e", "5d2e"),
        ("u=https%3A%2F%2Fh%2Fk%3FX-Amz-Signature%3D0a1b", "0a1b"),
        ("/k?AWSAccessKeyId=AKIA&Signature=vjbyPxybdZ&Expires=1", "vjbyPx"),
        ("https://h/c?sv=2024&sig=n0tForYou%3D", "n0tForYou"),
        ("https://h/?token=abc", "abc"),
        ("Authorization: Bearer abcdefgh1234", "abcdefgh1234"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        (f"cookie access_token={JWT}; Path=/", "eyJ"),
        (f"token is {JWT}.", "eyJ"),
        (f"%22{JWT}%22", "eyJ"),
        ("username=a&password=hunter2", "hunter2"),
        ('{"refresh_token": "abc", "x": 1}', "abc"),
        (r"{\"client_secret\":\"abc\"}", "abc"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, secret: str) -> None:
    redacted = Redactor().redact(text)
    assert secret not in redacted
    assert MASK in redacted


@pytest.mark.parametrize(
    "text",
    [
        "API_PASSWORD: missing; expected: its password",
        "http://localhost:8080/a?mail=a@b.org&X-Amz-Date=20261121",
        "ssh://git@github.com/owner/repo",
        "basic authentication failed for bearer tokens",
        "signature does not match, token expired",
        "10:30 eyJa is short",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor().redact(text) == text


def test_the_password_of_a_secret_url_is_a_secret_too() -> None:
    redactor = Redactor([SecretStr("amqp://user:p%40ssw0rd@host/v")])
    assert redactor.redact("p@ssw0rd p%40ssw0rd") == f"{MASK} {MASK}"


def test_the_longest_secret_wins_where_one_contains_another() -> None:
    redactor = Redactor(["secret", "secret-and-more"])
    assert redactor.redact("secret-and-more") == MASK


def test_a_short_secret_is_counted_instead_of_shredding_texts() -> None:
    redactor = Redactor(["a", "guest", "long-enough", ""])
    assert redactor.unprotected == 2
    assert redactor.redact("a guest") == "a guest"


def test_the_redactor_does_not_show_what_it_knows() -> None:
    assert SECRET not in repr(Redactor([SECRET]))


def test_a_traceback_is_redacted_with_its_causes() -> None:
    error = RuntimeError({"key": SECRET})
    error.__cause__ = ValueError(SECRET)
    text = Redactor([SECRET]).redact_exception(error)
    assert "wörd" not in text
    assert "ValueError" in text
    assert "RuntimeError" in text
