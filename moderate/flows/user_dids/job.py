"""The runs: batches of users, each of whom gets a DID."""

from dagster import (
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    in_process_executor,
    job,
    op,
)

from moderate.clients.platform_api import DidExists, PlatformApi
from moderate.clients.platform_models import Task, TaskStarted
from moderate.flows import tags
from moderate.flows.platform_tasks.dids import USER_DID, Owners
from moderate.flows.platform_tasks.errands import Gone, There
from moderate.flows.platform_tasks.run import carry_out
from moderate.flows.ticks import run_request
from moderate.flows.user_dids.kinds import FLOW
from moderate.flows.work import BatchConfig
from moderate.inbox.model import Dispatch, Json, WorkItem
from moderate.resources import InboxSource, PlatformApiResource

OP = "propagate_new_user_to_trust_services"


class DidErrand:
    """Ask for the DIDs of users.

    Twice is harmless: a user who has a DID keeps it, and of two tasks for
    one user the slower does nothing.
    """

    owners: Owners | None = None

    def __init__(self, api: PlatformApi) -> None:
        self._api = api

    def ask(self, item: WorkItem) -> TaskStarted | There | Gone:
        """Ask for a user's DID."""
        answer = self._api.request_did(item.payload["username"])
        if isinstance(answer, DidExists):
            return There({"did": answer.user_meta.trust_did})
        return answer

    def outcome(self, task: Task) -> Json:
        """Return the DID."""
        return {"did": (task.result or {}).get("trust_did")}


@op(
    name=OP,
    description="Register the DIDs of a batch of users. Twice is harmless: a"
    " user who has a DID keeps it.",
)
def user_dids_op(
    context: OpExecutionContext,
    config: BatchConfig,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
) -> None:
    """Work on a batch of items of kind ``user_did``."""
    api = platform_api.client()
    carry_out(
        context, inbox.open(), config.batch_id, USER_DID, DidErrand(api), api
    )


@job(
    executor_def=in_process_executor,
    tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
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
