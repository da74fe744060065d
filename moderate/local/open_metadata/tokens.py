"""The ingestion bot's token: how it is made and how it is checked."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
from pydantic import SecretStr

from moderate.local.open_metadata.errors import ApiError

ALGORITHM = "HS256"
KEY_ID = "emulator"
BEARER = "bearer "
UNAUTHORIZED = 401
# A fixed time of issue: the same key makes the same token.
ISSUED_AT = 1_767_225_600
CLAIMS: Mapping[str, Any] = {
    "iss": "open-metadata.org",
    "sub": "ingestion-bot",
    "roles": [],
    "email": "ingestion-bot@open-metadata.org",
    "isBot": True,
    "tokenType": "BOT",
    "iat": ISSUED_AT,
    "exp": None,
}


def make_token(signing_key: str, *, expires_at: int | None = None) -> str:
    """Make the ingestion bot's token.

    Args:
        signing_key: The emulator's key.
        expires_at: When it expires, in seconds since 1970; ``None``: never.
    """
    claims = {**CLAIMS, "exp": expires_at}
    return jwt.encode(
        {key: value for key, value in claims.items() if value is not None},
        signing_key,
        algorithm=ALGORITHM,
        headers={"kid": KEY_ID},
    )


def check(authorization: str | None, signing_key: SecretStr) -> None:
    """Check the header of a request.

    What is said of an expired token was not recorded; it is the server's
    published source that says so.

    Raises:
        ApiError: The token is refused.
    """
    if not authorization:
        raise _refusal("Token not present")
    token = authorization
    if authorization.lower().startswith(BEARER):
        token = authorization[len(BEARER) :]
    header, claims = _parse(token)
    if not (isinstance(header, dict) and header.get("kid") and claims):
        # The server looks for the key without asking whether one was named.
        raise ApiError(
            500,
            "An exception with message [null] was thrown while processing "
            "request.",
        )
    _verify(token, signing_key)


def expired() -> ApiError:
    """What an expired token is answered with."""
    return ApiError(UNAUTHORIZED, "Expired token!")


def _parse(token: str) -> tuple[Any, Any]:
    """Read header and claims, whatever the signature looks like."""
    try:
        header, claims, _ = token.split(".")
        return _read(header), _read(claims)
    except ValueError as error:
        raise _refusal("Invalid token.") from error


def _read(part: str) -> Any:
    # More padding than needed does no harm.
    return json.loads(base64.urlsafe_b64decode(f"{part}=="))


def _verify(token: str, signing_key: SecretStr) -> None:
    try:
        jwt.decode(
            token, signing_key.get_secret_value(), algorithms=[ALGORITHM]
        )
    except jwt.ExpiredSignatureError as error:
        raise expired() from error
    except jwt.InvalidTokenError as error:
        raise _refusal(
            "Invalid token. Token verification failed. Public key mismatch. "
            "due to com.auth0.jwt.exceptions.SignatureVerificationException: "
            "The Token's Signature resulted invalid when verified using the "
            "Algorithm: SHA256withRSA"
        ) from error


def _refusal(reason: str) -> ApiError:
    return ApiError(UNAUTHORIZED, f"Not Authorized! {reason}")
