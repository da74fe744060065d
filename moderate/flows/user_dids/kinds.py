"""The kinds of work items of this flow, and how each is treated."""

from datetime import timedelta
from typing import TypedDict

from moderate.flows.platform_tasks.errands import PEER
from moderate.inbox.model import Backoff, Kind, NewItem
from moderate.settings import UserDidSettings

USER_DID = "user_did"
"""Kind of the items that see to a user's DID.

The key is the username, exactly as Keycloak gives it: that is what the
platform files DIDs under. So a user who is deleted and made again under the
same name is the same item, and keeps the DID that the name has already.
"""

RUNS = 2
LONGEST_BACKOFF = timedelta(minutes=30)


class UserDid(TypedDict):
    """The payload of an item.

    Attributes:
        username: Whom the DID is for.
        keycloak_id: Who that is in Keycloak; not known of our own account.
        created_at: When the user was created there, in milliseconds since
            1970 (UTC).
    """

    username: str
    keycloak_id: str | None
    created_at: int | None


def user_did_item(payload: UserDid) -> NewItem:
    """Return the work item of a user."""
    return NewItem(USER_DID, payload["username"], dict(payload))


def kinds_of(settings: UserDidSettings) -> tuple[Kind]:
    """Return the flow's kind as these settings bound it."""
    return (
        Kind(
            USER_DID,
            batch_size=settings.batch_size,
            slots=RUNS,
            max_failures=settings.max_failures,
            backoff=Backoff(settings.backoff_base, LONGEST_BACKOFF),
            peer=PEER,
        ),
    )
