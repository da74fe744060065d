"""What the error of a task of the platform API means.

The API says it as the Python repr of an exception. The wordings are those of
the running service; of two requests at once the slower one's task ends with
an error although the DID or proof is there. So an error alone never says that
something is missing: whoever reads "already" or "in the meantime" asks again.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AskAgain:
    """Another request was quicker; asked again, the API knows the truth."""

    reason: str


@dataclass(frozen=True)
class NeedsDid:
    """The object's owner has no DID yet."""

    owner: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """Anything else: the trust service failed, or something unknown did."""

    reason: str


Meaning = AskAgain | NeedsDid | Failed

LONGEST_REASON = 500
"""Characters of an error that are kept."""

_EXCEPTION = re.compile(r"\w+\((?P<said>.*)\)", re.DOTALL)

# Beginning and end of each text are fixed; what is in between is a name that
# its owner chose.
_MEANINGS: Mapping[str, Callable[..., Meaning]] = {
    r"User .* already has a DID": AskAgain,
    r"The DID for user .* seems to have been created in the meantime": (
        AskAgain
    ),
    r"Asset object '.*' already has a proof": AskAgain,
    r"The proof for object '.*' seems to have been created in the meantime": (
        AskAgain
    ),
    # Deleted after it was asked for: asked again, the API says 404.
    r"Asset object '.*' not found": AskAgain,
    r"User (?P<owner>.*) does not have a DID and thus cannot be a proof"
    r" owner": NeedsDid,
}


def meaning_of(error: str) -> Meaning:
    """Return what a task's error means.

    Args:
        error: The API's text, such as ``ValueError('User a already has a
            DID')``.
    """
    said = _said(error)
    reason = " ".join(said.split())[:LONGEST_REASON]
    for pattern, meaning in _MEANINGS.items():
        if found := re.fullmatch(pattern, said, re.DOTALL):
            return meaning(**found.groupdict(), reason=reason)
    return Failed(" ".join(error.split())[:LONGEST_REASON])


def _said(error: str) -> str:
    """Return the one argument of the exception, or the text as it is."""
    found = _EXCEPTION.fullmatch(error.strip())
    try:
        said = ast.literal_eval(found["said"]) if found else error
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return error
    return said if isinstance(said, str) else error
