"""The kind of work items of this flow, and how it is treated."""

from datetime import timedelta

from moderate.clients.platform_models import AssetObject
from moderate.flows.platform_tasks.errands import PEER
from moderate.inbox.model import Backoff, Kind, NewItem
from moderate.settings import AssetProofSettings

FLOW = "asset_proofs"
ASSET_PROOF = "asset_proof"
"""Kind of the items that see to an object's proof; the key is its number."""

RUNS = 2
LONGEST_BACKOFF = timedelta(minutes=30)


def asset_proof_item(found: AssetObject) -> NewItem:
    """Return the work item of an object."""
    return NewItem(
        ASSET_PROOF,
        str(found.id),
        {
            "object_id": found.id,
            "object_key": found.key,
            "asset_id": found.asset_id,
        },
    )


def kinds_of(settings: AssetProofSettings) -> tuple[Kind]:
    """Return the flow's kind as these settings bound it."""
    return (
        Kind(
            ASSET_PROOF,
            flow=FLOW,
            batch_size=settings.batch_size,
            slots=RUNS,
            max_failures=settings.max_failures,
            backoff=Backoff(settings.backoff_base, LONGEST_BACKOFF),
            peer=PEER,
        ),
    )
