"""The kinds of work items of all flows.

Imports no Dagster: who only looks at the inbox is spared it.
"""

from collections.abc import Iterable

from moderate.flows.asset_proofs import kinds as asset_proofs
from moderate.flows.matrix_profile import kinds as matrix_profile
from moderate.flows.user_dids import kinds as user_dids
from moderate.inbox.model import Kind
from moderate.settings import Settings


def all_kinds(settings: Settings) -> Iterable[Kind]:
    """Return the kinds of work items of all flows."""
    return (
        *matrix_profile.kinds_of(settings.matrix_profile),
        *user_dids.kinds_of(settings.user_dids),
        *asset_proofs.kinds_of(settings.asset_proofs),
    )
