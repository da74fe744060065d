"""The runs: batches of users, each of whom gets a DID."""

from dagster import (
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    in_process_executor,
    job,
    op,
)

from moderate.flows import tags
from moderate.flows.ticks import run_request
from moderate.flows.user_dids.kinds import USER_DID
from moderate.flows.work import BatchConfig, bind
from moderate.inbox.model import Dispatch
from moderate.resources import InboxSource, PlatformApiResource

OP = "user_dids"


@op(
    name=OP,
    description="Register the DIDs of a batch of users. Twice is harmless: a"
    " user who has a DID keeps it.",
)
def user_dids_op(
    context: OpExecutionContext,
    config: BatchConfig,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,  # noqa: ARG001
) -> None:
    """Work on a batch of items of kind ``user_did``."""
    lease = bind(context, inbox.open(), config.batch_id, USER_DID)
    if lease is not None:
        lease.release()


@job(
    executor_def=in_process_executor,
    tags=tags.NO_RUN_RETRIES,
    description="New users of Keycloak get a DID at the platform.",
)
def propagate_new_user_to_trust_services_job() -> None:
    """Register the DIDs of a batch of users."""
    user_dids_op()


def user_did_request(dispatch: Dispatch) -> RunRequest:
    """Build the request of the run that works on a batch of users."""
    return run_request(
        dispatch,
        job=propagate_new_user_to_trust_services_job.name,
        op=OP,
    )
