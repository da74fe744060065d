"""What the emulator is made of."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from moderate.local.open_metadata.config import EmulatorSettings
from moderate.local.open_metadata.entity import View, now_ms
from moderate.local.open_metadata.faults import FaultInjector
from moderate.local.open_metadata.ledger import LedgerBook
from moderate.local.open_metadata.store import Store


@dataclass(frozen=True)
class Server:
    """The parts of the emulator."""

    settings: EmulatorSettings
    view: View
    store: Store
    faults: FaultInjector
    ledger: LedgerBook
    started_at: int


def build(settings: EmulatorSettings) -> Server:
    """Put the emulator together."""
    view = View(settings.href_base)
    return Server(
        settings=settings,
        view=view,
        store=Store(view),
        faults=FaultInjector(settings.faults),
        ledger=LedgerBook(),
        started_at=now_ms(),
    )


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


ServerDep = Annotated[Server, Depends(_server)]
