"""From settings to the parts of this flow."""

from moderate.flows.user_dids.plan import Rules
from moderate.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """Return who gets a DID, and how users are read."""
    flow = settings.user_dids
    return Rules(
        page_size=flow.page_size,
        overlap=flow.overlap,
        reconcile_interval=flow.reconcile_interval,
        service_accounts=flow.service_accounts,
        disabled_users=flow.disabled_users,
    )
