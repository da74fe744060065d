"""Hundreds of kills, of whatever there is, while all flows work.

Environment variables: ``FAULTS_SEED`` (repeats the choices of another time),
``FAULTS_KILLS`` (100), ``FAULTS_MINUTES`` (the most that the kills take, 12),
``FAULTS_SILENCE`` (seconds until a silent run is given up, 15; a machine on
which runs take longer than that to start needs more), ``FAULTS_WAY``
(``stock`` or ``fast``: without or with the fast path) and ``FAULTS_WRITE``
(not empty: write the result into ``docs/faults.md``).
"""

import os
import secrets
import time
from collections import Counter

import pytest

from moderate.inbox.model import State
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.shared import LIVE
from moderate_tests.e2e.ways import Way
from moderate_tests.faults.chaos import Chaos
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.nothing_lost import balance, wait_until_over
from moderate_tests.faults.trust_load import TrustLoad
from moderate_tests.faults.verdict import VERDICTS, Verdict, commit

WAY = Way(os.environ.get("FAULTS_WAY") or Way.STOCK)

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.full,
    pytest.mark.parametrize("way", [WAY], indirect=True),
    *LIVE,
]

KILLS = 100
MINUTES = 12.0
SETTLE_SECONDS = 600.0


def given(name: str, otherwise: float) -> float:
    return float(os.environ.get(name) or otherwise)


def states_of(live: Live, jobs: list[int]) -> Counter[str]:
    return Counter(str(live.state(job)) for job in jobs)


def test_random_kills_lose_nothing_and_double_nothing(
    live: Live, failpoints: Failpoints, pytestconfig: pytest.Config
) -> None:
    seed = int(given("FAULTS_SEED", secrets.randbelow(2**32)))
    print(f"seed {seed}")  # noqa: T201  # shown if this fails
    begun = time.monotonic()
    deadline = begun + 60 * given("FAULTS_MINUTES", MINUTES)
    with TrustLoad(live) as load:
        chaos = Chaos(live, failpoints, load, seed)
        for number in range(int(given("FAULTS_KILLS", KILLS))):
            if time.monotonic() > deadline:
                break
            chaos.strike(number)
        failpoints.disarm()
        load.wait_until_over(within=SETTLE_SECONDS)
        wait_until_over(live, chaos.jobs, within=SETTLE_SECONDS)
        found = Verdict(
            way=WAY,
            seed=seed,
            kills=chaos.kills,
            balance=balance(live, chaos.jobs),
            states=states_of(live, chaos.jobs),
            trust=load.balance(),
            seconds=time.monotonic() - begun,
            commit=commit(),
        )
        pytestconfig.stash.setdefault(VERDICTS, []).append(found)
        if os.environ.get("FAULTS_WRITE"):
            found.write()
        assert found.balance.is_even, f"{found.balance!r}\n{live.explain()}"
        assert found.trust.is_even, f"{found.trust!r}\n{live.explain()}"
        assert found.states == {State.DONE: len(chaos.jobs)}
        # Ticks tell Dagster: the sensors must still be on.
        live.until(
            lambda: all(run.is_over for run in live.ui.runs()),
            "Dagster counts no dead run as at work",
        )
