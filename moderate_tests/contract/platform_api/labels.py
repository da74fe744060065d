"""The labels of the recorded exchanges, and what becomes of each."""

from collections.abc import Callable
from typing import TypeVar

from moderate_tests.contract.platform_api.matching import CASES

Test = TypeVar("Test", bound=Callable[..., object])

#: Labels that test functions say they cover.
covered: set[str] = set()

LEFT_OUT = frozenset(
    {
        "auth.expired_token.direct",
        "auth.expired_token.direct_within_leeway",
        "auth.garbage_token.direct",
        "auth.no_roles_user.direct",
        "auth.no_token.direct",
        "auth.tampered_token.direct",
        "object.upload.bulk",
    }
)

RECORDED = frozenset((CASES / "recorded_labels.txt").read_text().split())


def covers(*labels: str) -> Callable[[Test], Test]:
    """Say which recorded exchanges a test stands for."""
    covered.update(labels)
    return lambda test: test
