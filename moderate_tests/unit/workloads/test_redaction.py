"""What is written to standard error holds no secret, whoever writes it."""

import io

import pytest

from moderate.workloads.matrix_profile.redaction import (
    RedactingStream,
    secrets_of,
)
from moderate_tests.unit.workloads.samples import ENVIRONMENT


def written(text: str, **environ: str) -> str:
    stream = io.StringIO()
    secrets = secrets_of({**ENVIRONMENT, **environ})
    RedactingStream(stream, secrets).write(text)
    return stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        ENVIRONMENT["FILE_URL"],
        "/assets/a/meter%207.csv?X-Amz-Signature=abcdef0123",
        "signature abcdef0123 does not match",
        "AKIAEXAMPLE",
        "very-secret-key",
        "https://other/?x-amz-security-token=abcdef&X-Goog-Signature=012345",
    ],
)
def test_secrets_are_replaced(text: str) -> None:
    clean = written(f"before {text} after")
    assert "[redacted]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    for secret in ("abcdef", "012345", "AKIAEXAMPLE", "very-secret-key"):
        assert secret not in clean


def test_an_encoded_secret_is_known_in_both_spellings() -> None:
    url = "https://s3/x.csv?Signature=a%2Fb%2Bcdefgh"
    assert "cdefgh" not in written("a%2Fb%2Bcdefgh", FILE_URL=url)
    assert "cdefgh" not in written("a/b+cdefgh", FILE_URL=url)


def test_a_password_in_the_address_is_a_secret() -> None:
    url = "https://user:hunter22@host/x.csv"
    assert "hunter22" not in written("hunter22", FILE_URL=url)


def test_innocent_text_stays() -> None:
    url = "https://s3/x.csv?a=1&b=true"
    assert written("1 is true", FILE_URL=url) == "1 is true"


def test_a_broken_address_is_a_secret_as_a_whole() -> None:
    assert "[redacted]" in written("http://[broken", FILE_URL="http://[broken")
