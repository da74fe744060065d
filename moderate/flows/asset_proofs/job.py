"""The runs: batches of objects, each of which gets a proof."""

from dagster import (
    OpExecutionContext,
    ResourceParam,
    RunRequest,
    in_process_executor,
    job,
    op,
)

from moderate.clients.platform_api import PlatformApi, ProofExists
from moderate.clients.platform_models import Task, TaskStarted
from moderate.flows import tags
from moderate.flows.asset_proofs.kinds import ASSET_PROOF, FLOW
from moderate.flows.platform_tasks.dids import Owners
from moderate.flows.platform_tasks.errands import Gone, There
from moderate.flows.platform_tasks.run import carry_out
from moderate.flows.ticks import run_request
from moderate.flows.work import BatchConfig
from moderate.inbox.model import Dispatch, Json, WorkItem
from moderate.resources import (
    InboxSource,
    KeycloakResource,
    PlatformApiResource,
)
from moderate.settings import process_settings

OP = "create_asset_object_proof"


class ProofErrand:
    """Ask for the proofs of objects.

    Twice is harmless: an object that has a proof keeps it, and of two tasks
    for one object the slower does nothing.
    """

    def __init__(self, api: PlatformApi, owners: Owners) -> None:
        self.owners: Owners | None = owners
        self._api = api

    def ask(self, item: WorkItem) -> TaskStarted | There | Gone:
        """Ask for an object's proof, by its key.

        By its number it could be taken for another one, whose key is that
        number.
        """
        answer = self._api.request_proof(item.payload["object_key"])
        if answer is None:
            return Gone("the object does not exist any more")
        if isinstance(answer, ProofExists):
            return There({"proof_id": answer.obj.proof_id})
        return answer

    def outcome(self, task: Task) -> Json:
        """Return the proof's id."""
        return {"proof_id": (task.result or {}).get("proof_id")}


@op(
    name=OP,
    description="Have the proofs of a batch of objects made. Twice is"
    " harmless: an object that has a proof keeps it.",
)
def asset_proofs_op(
    context: OpExecutionContext,
    config: BatchConfig,
    inbox: ResourceParam[InboxSource],
    platform_api: PlatformApiResource,
    keycloak: KeycloakResource,
) -> None:
    """Work on a batch of items of kind ``asset_proof``."""
    settings = process_settings()
    api = platform_api.client()
    owners = Owners(
        keycloak.client if settings.keycloak else None, settings.user_dids
    )
    carry_out(
        context,
        inbox.open(),
        config.batch_id,
        ASSET_PROOF,
        ProofErrand(api, owners),
        api,
    )


@job(
    executor_def=in_process_executor,
    tags={tags.FLOW: FLOW, **tags.NO_RUN_RETRIES},
    description="New asset objects of the platform get an integrity proof.",
)
def create_asset_object_proof_job() -> None:
    """Have the proofs of a batch of objects made."""
    asset_proofs_op()


def asset_proof_request(dispatch: Dispatch) -> RunRequest:
    """Build the request of the run that works on a batch of objects."""
    return run_request(dispatch, job=create_asset_object_proof_job.name, op=OP)
