"""Look at items, retry and drop them by hand, from the UI.

The same functions as ``moderate inbox`` does it with, and the same record of
who did what, when and why. Dagster does not know who a person is, so the form
asks.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import Enum

from dagster import (
    Config,
    Failure,
    MetadataValue,
    OpExecutionContext,
    ResourceParam,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from moderate.flows import tags
from moderate.inbox import admin
from moderate.inbox.admin import WrongStateError
from moderate.inbox.database import Conn
from moderate.inbox.store import Inbox
from moderate.resources import InboxSource

FLOW = "operations"


class Action(Enum):
    """What is done to the items."""

    look = "look"
    retry = "retry"
    drop = "drop"


class InboxAdminConfig(Config):
    """Which items, what, who and why."""

    action: Action = Field(
        Action.look,
        description="look: show them. retry: make them due, their count of"
        " failures reset. drop: give them up for good; a tombstone stays, so"
        " that nothing brings them back.",
    )
    item_id: int = Field(
        default=0,
        ge=0,
        description="The item's number, as the table of dead items has it.",
    )
    kind: str = Field(
        default="",
        description="Instead of a number: all dead items of this kind.",
    )
    limit: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="With a kind: so many of them at the most.",
    )
    who: str = Field(min_length=1, max_length=100, description="Your name.")
    why: str = Field(
        min_length=1,
        max_length=500,
        description="The reason; kept with the item.",
    )


@op(description="Looks at items of the inbox, retries or drops them.")
def inbox_admin(
    context: OpExecutionContext,
    config: InboxAdminConfig,
    inbox: ResourceParam[InboxSource],
) -> None:
    """Do it to all of the items, or to none."""
    store = inbox.open()
    try:
        with store.transaction() as conn:
            chosen = _chosen(conn, config)
            _act(conn, store, config, chosen)
            shown = [_shown(conn, item_id) for item_id in chosen[:20]]
    except WrongStateError as error:
        # The text says all; a traceback would hide it.
        raise Failure(str(error), allow_retries=False) from None
    context.log.info(
        "%s by %s: %s item(s)", config.action.value, config.who, len(chosen)
    )
    context.add_output_metadata(
        {"items": len(chosen), "shown": MetadataValue.json(shown)}
    )


def _chosen(conn: Conn, config: InboxAdminConfig) -> Sequence[int]:
    if bool(config.item_id) == bool(config.kind):
        msg = "give either item_id or kind; nothing was changed"
        raise WrongStateError(msg)
    if config.item_id:
        if admin.get_item(conn, config.item_id) is None:
            msg = f"there is no item {config.item_id}"
            raise WrongStateError(msg)
        return [config.item_id]
    return admin.dead_items(conn, config.kind, limit=config.limit)


def _act(
    conn: Conn,
    store: Inbox,
    config: InboxAdminConfig,
    item_ids: Sequence[int],
) -> None:
    match config.action:
        case Action.retry:
            admin.retry_items(conn, item_ids, who=config.who, why=config.why)
        case Action.drop:
            admin.drop_items(
                conn, store.kinds, item_ids, who=config.who, why=config.why
            )
        case Action.look:
            pass


def _shown(conn: Conn, item_id: int) -> dict[str, object]:
    item = admin.get_item(conn, item_id)
    facts = asdict(item) if item else {}
    facts["audit"] = [asdict(each) for each in admin.audit_of(conn, item_id)]
    text = json.dumps(facts, default=_date)
    shown: dict[str, object] = json.loads(text)
    return shown


def _date(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@job(
    description="Look at work items, retry or drop them by hand: fill in the"
    " form of the launchpad. The same as `moderate inbox show|retry|drop`; who"
    " did it, when and why is kept with the item.",
    tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
    executor_def=in_process_executor,
)
def inbox_admin_job() -> None:
    """One op."""
    inbox_admin()
