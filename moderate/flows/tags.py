"""Tags of our runs: how a person, or a tick, finds the run of an item."""

from moderate.inbox.model import Dispatch

FLOW = "moderate/flow"
BATCH = "moderate/batch"
KIND = "moderate/kind"
ITEM = "moderate/item"
DISPATCH = "moderate/dispatch"
SIZE = "moderate/size"

ASSET_FLOW = "flow"
"""Of an asset: a run that a person picked it for has no tag of ours."""

NO_RUN_RETRIES = {"dagster/max_retries": "0"}
"""The inbox alone decides on retries."""


def of_dispatch(dispatch: Dispatch) -> dict[str, str]:
    """Return the tags of the run that works on a batch."""
    return {
        FLOW: dispatch.flow,
        BATCH: str(dispatch.id),
        KIND: dispatch.kind,
        ITEM: str(dispatch.item_id),
        DISPATCH: str(dispatch.dispatch),
        SIZE: str(dispatch.size),
    }
