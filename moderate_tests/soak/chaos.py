"""What is broken: one thing after the other, as a seed says."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

import psutil
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from moderate.local.process import PartError
from moderate.local.reporting import say
from moderate.local.services.base import Service
from moderate.local.services.s3 import S3Program
from moderate_tests.faults import processes
from moderate_tests.soak import disk, runs
from moderate_tests.soak.figures import Struck
from moderate_tests.soak.stage import PEERS, Stage
from moderate_tests.soak.watch import Watch

PREY_SECONDS = 15.0
"""How long a kill waits for a process of its kind to be there."""
RECOVERY_SECONDS = 75.0
"""How long the next fault waits for every flow to go again."""
LOOK_SECONDS = 0.1
STARTS = 3
"""How often a part is started that does not come up: on a busy machine it
may not be in time."""
CALM_SECONDS = (1.0, 4.0)
DOWN_SECONDS = (1.0, 6.0)
BROKEN_SECONDS = (5.0, 15.0)
LATENCY_MS = (100, 600)
FELL = "ended by itself"
"""What is struck down by no fault of ours, as a pod that is restarted."""


@dataclass(frozen=True)
class Fault:
    """Something that can be broken.

    Attributes:
        name: What people call it.
        strike: Breaks it; says whether there was something to break.
        mend: Makes it whole.
        lasts: Seconds between the two: from, to.
    """

    name: str
    strike: Callable[[], bool]
    mend: Callable[[], object]
    lasts: tuple[float, float]


@dataclass
class Chaos:
    """Breaks one thing, waits until every flow goes again, and the next.

    All faults come before one comes again. The same seed makes the same
    choices; what they meet depends on the machine.

    Attributes:
        stage: What runs.
        watch: Knows whether every flow goes again.
        seed: What is chosen depends on it.
        struck: What was done.
    """

    stage: Stage
    watch: Watch
    seed: int
    struck: list[Struck] = field(default_factory=list)

    def rage(self, seconds: float) -> None:
        """Break things for so many seconds; nothing is begun afterwards."""
        random = Random(f"{self.seed}/chaos")
        end = time.monotonic() + seconds
        for fault in self._deck(random):
            time.sleep(random.uniform(*CALM_SECONDS))  # the moment
            if self._pick_up():
                # It is not held against what is struck next.
                self._await_recovery(end)
            lasts = random.uniform(*fault.lasts)
            if time.monotonic() + lasts > end:
                return
            self._break(fault, lasts)
            self._await_recovery(end)

    def _await_recovery(self, end: float) -> None:
        """Wait until all goes again, and be the parts' supervisor meanwhile.

        In production each part has one, which starts it anew at once.
        """
        since = self.watch.now
        patience = min(end, time.monotonic() + RECOVERY_SECONDS)
        while self._pick_up() or not self.watch.goes_again(since):
            if time.monotonic() > patience:
                return
            time.sleep(LOOK_SECONDS)

    def mend(self) -> None:
        """Make everything whole that may be broken."""
        self.stage.network.mend()
        for part in self.stage.stack.parts:
            _start(part)

    def _deck(self, random: Random) -> Iterator[Fault]:
        while True:
            faults = list(self._faults(random))
            random.shuffle(faults)
            yield from faults

    def _break(self, fault: Fault, lasts: float) -> None:
        begun = self.watch.now
        is_struck = fault.strike()
        victims = self.stage.stack.dead()
        try:
            if is_struck:
                time.sleep(lasts)  # the fault
            fell = [
                part.name
                for part in self.stage.stack.dead()
                if part not in victims
            ]
        finally:
            fault.mend()
            self.mend()
        if is_struck:
            self._note(Struck(fault.name, begun, self.watch.now, fell))

    def _pick_up(self) -> bool:
        """Start what has ended by itself since the last fault, if any has."""
        fallen = self.stage.stack.dead()
        if fallen:
            begun = self.watch.now
            names = [part.name for part in fallen]
            self.mend()
            self._note(Struck(FELL, begun, self.watch.now, names))
        return bool(fallen)

    def _note(self, struck: Struck) -> None:
        fell = f"; fell: {', '.join(struck.fell)}" if struck.fell else ""
        say(f"{struck.begun:6.0f} s: {struck.name}{fell}")
        self.struck.append(struck)

    def _faults(self, random: Random) -> Iterator[Fault]:
        stack = self.stage.stack
        for name, look in (
            ("kill a run", partial(runs.of, stack)),
            ("kill an analysis", partial(processes.analyses, stack.root)),
        ):
            hunt = partial(_hunt, look, random)
            yield Fault(name, hunt, _nothing, (0, 0))
        ours: Sequence[Service] = (
            stack.worker,
            stack.intake,
            stack.daemon,
            stack.code_server,
        )
        peers: Sequence[Service] = (
            stack.postgres,
            stack.rabbitmq,
            stack.keycloak,
            stack.s3,
            stack.platform_api,
            stack.open_metadata,
        )
        for part in ours:
            yield _kill(part)
        for part in peers:
            yield _kill(part) if random.random() < 0.5 else _restart(part)
        for peer in PEERS:
            yield self._slow(peer, random)
            yield self._cut(peer, is_silent=random.random() < 0.5)
        if stack.s3.program is S3Program.VERSITYGW:
            yield Fault(
                "S3's disk is full",
                partial(disk.fill, stack.s3),
                partial(disk.clear, stack.s3),
                BROKEN_SECONDS,
            )

    def _slow(self, peer: str, random: Random) -> Fault:
        latency = random.randint(*LATENCY_MS)

        def strike() -> bool:
            self.stage.network.slow(peer, latency, latency // 3)
            return True

        return Fault(
            f"slow network to {peer}: {latency} ms each way",
            strike,
            self.stage.network.mend,
            BROKEN_SECONDS,
        )

    def _cut(self, peer: str, *, is_silent: bool) -> Fault:
        network = self.stage.network

        def strike() -> bool:
            (network.silence if is_silent else network.cut)(peer)
            return True

        how = "silent" if is_silent else "cut"
        return Fault(
            f"{how} network to {peer}", strike, network.mend, BROKEN_SECONDS
        )


def _nothing() -> None:
    """Mend nothing: parts are started anyway, the rest the service mends."""


@retry(
    retry=retry_if_exception_type(PartError),
    stop=stop_after_attempt(STARTS),
    reraise=True,
)
def _start(part: Service) -> None:
    part.start()


def _hunt(
    look: Callable[[], Sequence[psutil.Process]], random: Random
) -> bool:
    """Kill a process as soon as there is one; say whether there was."""
    end = time.monotonic() + PREY_SECONDS
    while time.monotonic() < end:
        found = sorted(look(), key=lambda process: process.pid)
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(found).kill()
                return True
        time.sleep(LOOK_SECONDS)
    return False


def _kill(part: Service) -> Fault:
    def strike() -> bool:
        part.kill()
        return True

    return Fault(f"kill {part.name}", strike, _nothing, DOWN_SECONDS)


def _restart(part: Service) -> Fault:
    def strike() -> bool:
        part.stop()
        return True

    return Fault(f"restart {part.name}", strike, _nothing, DOWN_SECONDS)
