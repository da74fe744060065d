"""States of runs of ingestion pipelines.

Not recorded; the client (``ingestion_pipeline_mixin``) sends them when its
configuration names a pipeline.
"""

from typing import Any

from fastapi import APIRouter, Request

from moderate.local.open_metadata import bodies
from moderate.local.open_metadata.errors import not_found, validate
from moderate.local.open_metadata.kinds import INGESTION_PIPELINE
from moderate.local.open_metadata.models import load
from moderate.local.open_metadata.state import ServerDep

router = APIRouter(prefix="/api/v1/services/ingestionPipelines")

STATUS = "entity.services.ingestionPipelines.ingestionPipeline.PipelineStatus"
Json = dict[str, Any]


@router.put("/{fqn:path}/pipelineStatus")
async def put_status(server: ServerDep, request: Request, fqn: str) -> Json:
    """Keep the state of a run."""
    pipeline = server.store.get(INGESTION_PIPELINE, fqn)
    body = await bodies.read_object(request)
    validate(body, load(STATUS))
    pipeline.runs[str(body.get("runId"))] = body
    return server.view.show(pipeline)


@router.get("/{fqn:path}/pipelineStatus")
async def read_statuses(server: ServerDep, fqn: str) -> Json:
    """Show the states of all runs."""
    pipeline = server.store.get(INGESTION_PIPELINE, fqn)
    runs = list(pipeline.runs.values())
    return {"data": runs, "paging": {"total": len(runs)}}


@router.get("/{fqn:path}/pipelineStatus/{run}")
async def read_status(server: ServerDep, fqn: str, run: str) -> Json:
    """Show the state of a run."""
    pipeline = server.store.get(INGESTION_PIPELINE, fqn)
    if run in pipeline.runs:
        return pipeline.runs[run]
    raise not_found("pipelineStatus", run)
