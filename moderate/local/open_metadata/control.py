"""The emulator's own controls, which the real server does not have.

Offered below ``/_emulator``, with the page at ``/``, when
``OM_EMULATOR_CONTROL=1``, to whoever can reach the port: for tests and demos
on one machine only.
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from moderate.local.open_metadata.faults import Faults
from moderate.local.open_metadata.kinds import KINDS
from moderate.local.open_metadata.ledger import Ledger
from moderate.local.open_metadata.overview import Overview, overview
from moderate.local.open_metadata.page import render, render_table
from moderate.local.open_metadata.state import ServerDep

router = APIRouter()


@router.get("/_emulator/faults")
async def read_faults(server: ServerDep) -> Faults:
    """Show the faults, with what is left of their counts."""
    return server.faults.faults


@router.put("/_emulator/faults")
async def replace_faults(server: ServerDep, body: Faults) -> Faults:
    """Switch on these faults and no others; ``{}`` switches all off."""
    server.faults.replace(body)
    return server.faults.faults


@router.get("/_emulator/ledger")
async def read_ledger(
    server: ServerDep,
    calls: bool = True,  # noqa: FBT001, FBT002 - a query parameter
) -> Ledger:
    """Show what was asked; ``calls=false`` leaves out the list."""
    return server.ledger.read(calls=calls)


@router.delete("/_emulator/ledger", status_code=204)
async def clear_ledger(server: ServerDep) -> None:
    """Forget what was asked, not what arrived."""
    server.ledger.clear()


@router.get("/_emulator/overview")
async def read_overview(
    server: ServerDep, service: str | None = None
) -> Overview:
    """Show what arrived."""
    return overview(server.store, KINDS, service)


@router.post("/_emulator/reset", status_code=204)
async def reset(server: ServerDep) -> None:
    """Forget everything: entities, ledger, and faults."""
    server.store.clear()
    server.ledger.clear()
    server.faults.reset()


@router.get("/")
async def page(server: ServerDep, service: str | None = None) -> HTMLResponse:
    """Show what arrived, to a person."""
    found = overview(server.store, KINDS, service)
    return HTMLResponse(render(found, server.ledger.read(calls=False)))


@router.get("/table")
async def table_page(
    server: ServerDep, number: Annotated[str, Query(alias="id")]
) -> HTMLResponse:
    """Show a table, stored procedure or container to a person.

    Raises:
        ApiError: There is none with that id.
    """
    return HTMLResponse(render_table(server.store.any_by_id(number)))
