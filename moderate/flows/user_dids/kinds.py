"""The kinds of work items of this flow, and how each is treated."""

from datetime import timedelta
from typing import TypedDict

from moderate.inbox.model import Backoff, Kind, NewItem

USER_DID = "user_did"
"""Kind of the items that see to a user's DID.

The key is the username, exactly as Keycloak gives it: that is what the
platform files DIDs under. So a user who is deleted and made again under the
same name is the same item, and keeps the DID that the name has already.
"""

USERS_PER_RUN = 300
RUNS = 2
FAILURES = 10
BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=30))


class UserDid(TypedDict):
    """The payload of an item.

    Attributes:
        username: Whom the DID is for.
        keycloak_id: Who that is in Keycloak.
        created_at: When the user was created there, in milliseconds since
            1970 (UTC).
    """

    username: str
    keycloak_id: str
    created_at: int


def user_did_item(payload: UserDid) -> NewItem:
    """Return the work item of a user."""
    return NewItem(USER_DID, payload["username"], dict(payload))


def kinds() -> tuple[Kind]:
    """Return the flow's kinds."""
    return (
        Kind(
            USER_DID,
            batch_size=USERS_PER_RUN,
            slots=RUNS,
            max_failures=FAILURES,
            backoff=BACKOFF,
        ),
    )
