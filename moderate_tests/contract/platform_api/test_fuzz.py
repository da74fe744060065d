"""Whatever fits the emulator's own interface, or does not, it answers.

The real API answers some requests with 500 on purpose, and so does the
emulator. What nobody thought of is an exception in its log.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from moderate.local.platform_api.app import ROUTERS
from moderate.local.services.platform_api import PlatformApi
from moderate_tests.contract.platform_api.conftest import Emulators
from moderate_tests.contract.platform_api.peer import ADMIN, Peer

ON_PURPOSE = (
    b'{"message":"Database operation error"}',
    b"Internal Server Error",
)
pytestmark = [pytest.mark.services, pytest.mark.full]

FEWER = settings(max_examples=settings().max_examples // 4)
ROLES = (ADMIN, "other", "norole", None, "garbage")


def operations() -> Sequence[Any]:
    """Return what can be asked, as the routes themselves say it."""
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    found = schemathesis.openapi.from_dict(app.openapi())
    read = list(found.get_all_operations())
    chosen = [each.ok() for each in read if isinstance(each, Ok)]
    assert len(chosen) == len(read), "what can't be read is not tried"
    return chosen


@pytest.fixture(scope="module")
def emulated(emulators: Emulators) -> Iterator[tuple[PlatformApi, Peer]]:
    """An emulator of our own: its log is ours, and what it keeps."""
    with emulators(job_debounce_seconds="0") as running:
        yield running


def send(peer: Peer, role: str | None, case: "Case[Any]") -> Any:
    return case.call(base_url=peer.url, headers=peer.headers(role))


def ways() -> Iterator[Any]:
    """Yield what to ask, well and badly; a bare path can't be asked badly."""
    for operation in operations():
        for mode in GenerationMode:
            if mode.is_positive or takes_anything(operation):
                name = f"{mode.value}-{operation.label}"
                yield pytest.param(operation, mode, id=name)


def takes_anything(operation: Any) -> bool:
    return bool(list(operation.iter_parameters()) or len(operation.body))


@pytest.mark.parametrize(("operation", "mode"), list(ways()))
@FEWER
@given(data=st.data(), role=st.sampled_from(ROLES))
def test_it_answers_and_never_breaks(
    emulated: tuple[PlatformApi, Peer],
    operation: Any,
    mode: GenerationMode,
    data: st.DataObject,
    role: str | None,
) -> None:
    emulator, peer = emulated
    begin = emulator.log.stat().st_size
    answer = send(peer, role, data.draw(operation.as_strategy(mode)))
    assert answer.status_code < 500 or answer.content in ON_PURPOSE
    with emulator.log.open("rb") as log:
        log.seek(begin)
        assert b"Traceback" not in log.read()
