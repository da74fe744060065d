"""Kills of random processes at random moments, while jobs flow."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from moderate.errors import TemporaryError
from moderate.local.services.base import Service
from moderate_tests.e2e.live import Live
from moderate_tests.e2e.ways import Way
from moderate_tests.faults import failpoints as at
from moderate_tests.faults import processes
from moderate_tests.faults.failpoints import Failpoints
from moderate_tests.faults.trust_load import TrustLoad
from moderate_tests.faults.workload import stand_in

OPEN_JOBS = 10
"""Posted before each kill until so many are not over: more than run at once,
so that some wait in every place where they can."""

MAX_WORK_SECONDS = 4.0
MAX_PAUSE_SECONDS = 1.5
MAX_DOWN_SECONDS = 4.0
PREY_SECONDS = 20.0
"""How long a kill waits for a process of its kind to be there."""

TWO_AT_ONCE = 0.2
"""How often a second part dies while the first one is down."""

LOOK_SECONDS = 0.05

WEIGHTS: Mapping[str, int] = {
    "run": 20,
    "analysis": 12,
    "supervisor": 10,
    "boundary of a run": 14,
    "boundary of a tick": 10,
    "boundary of a run of users or objects": 12,
    "boundary of a tick for users or objects": 8,
    "code server": 10,
    "daemon": 8,
    "webserver": 2,
    "RabbitMQ": 4,
    "Postgres": 8,
    "platform API": 6,
    "S3": 6,
    "Keycloak": 3,
}
"""What is killed, and how often."""

FAST_WEIGHTS: Mapping[str, int] = {
    **WEIGHTS,
    "worker": 10,
    "worker alone": 8,
    "template": 8,
    "intake": 12,
    # Messages are taken by the intake, sooner than by any tick.
    "boundary of a tick": 0,
}
"""The same with the fast path."""


@dataclass
class Chaos:
    """Kills one thing after the other, as a seed says.

    Attributes:
        live: The service.
        points: Its failpoints.
        load: Brings users and objects in.
        seed: What is chosen depends on it, and on the number of the kill;
            what that meets depends on the machine, too.
        jobs: What was posted.
        kills: What was killed, and how often.
        random: Makes the choices of one kill.
    """

    live: Live
    points: Failpoints
    load: TrustLoad
    seed: int
    jobs: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    random: Random = field(default_factory=Random)

    def strike(self, number: int) -> None:
        """Post jobs, let a moment pass, kill something, mend it."""
        self.random = Random(f"{self.seed}/{number}")
        victim = self._choose(self._weights)
        pause = self.random.uniform(0, MAX_PAUSE_SECONDS)
        for _ in range(OPEN_JOBS - self._open()):
            self._post()
        self.load.bring_in()
        time.sleep(pause)  # the moment
        killed = self._killers[victim]()
        if killed:
            self.kills[victim] += 1

    @property
    def _weights(self) -> Mapping[str, int]:
        return FAST_WEIGHTS if self.live.way is Way.FAST else WEIGHTS

    def _choose(self, weights: Mapping[str, int]) -> str:
        return self.random.choices([*weights], [*weights.values()])[0]

    def _post(self) -> None:
        seconds = self.random.uniform(0, MAX_WORK_SECONDS)
        # What it stands on may only just be up again. If there is a job all
        # the same, the service finds it, but we don't know its number.
        with suppress(TemporaryError):
            self.jobs.append(self.live.post(stand_in(seconds=seconds)))

    def _open(self) -> int:
        over = self.live.over()
        return sum(str(job) not in over for job in self.jobs)

    @property
    def _killers(self) -> Mapping[str, Callable[[], bool]]:
        stack = self.live.stack
        parts: dict[str, Service] = {
            "code server": stack.code_server,
            "daemon": stack.daemon,
            "webserver": stack.webserver,
            "RabbitMQ": stack.rabbitmq,
            "Postgres": stack.postgres,
            "platform API": stack.platform_api,
            "S3": stack.s3,
            "Keycloak": stack.keycloak,
        }
        if self.live.way is Way.FAST:
            parts |= {"worker": stack.worker, "intake": stack.intake}

        def killer(name: str) -> Callable[[], bool]:
            return lambda: self._kill_part(name, parts)

        return {
            "run": lambda: self._kill_process(self._runs),
            "analysis": lambda: self._kill_process(
                lambda: processes.analyses(stack.root)
            ),
            "supervisor": lambda: self._kill_process(
                lambda: processes.supervisors(stack.root)
            ),
            "boundary of a run": lambda: self._kill_at(at.IN_RUNS),
            "boundary of a tick": lambda: self._kill_at(at.IN_TICKS),
            "boundary of a run of users or objects": (
                lambda: self._kill_at(at.IN_TRUST_RUNS)
            ),
            "boundary of a tick for users or objects": (
                lambda: self._kill_at(at.IN_TRUST_TICKS)
            ),
            "worker alone": lambda: self._kill_in_worker(self._worker),
            "template": lambda: self._kill_in_worker(
                lambda: processes.templates(self.live)
            ),
            **{name: killer(name) for name in parts},
        }

    def _kill_part(self, name: str, parts: Mapping[str, Service]) -> bool:
        down = [parts[name]]
        if self.random.random() < TWO_AT_ONCE:
            other = self._choose(
                {each: self._weights[each] for each in parts if each != name}
            )
            self.kills[other] += 1
            down.append(parts[other])
        for part in down:
            part.kill()
        time.sleep(self.random.uniform(0, MAX_DOWN_SECONDS))  # the fault
        self._mend()
        return True

    def _mend(self) -> None:
        """Start what is down; each part comes after what it needs."""
        for part in self.live.stack.parts:
            part.start()

    def _runs(self) -> list[psutil.Process]:
        ours = processes.standing(self.live)
        return processes.runs(self.live.stack.root, ours)

    def _worker(self) -> list[psutil.Process]:
        pid = self.live.stack.worker.process.pid
        return [psutil.Process(pid)] if pid else []

    def _kill_in_worker(
        self, look: Callable[[], Sequence[psutil.Process]]
    ) -> bool:
        """Kill one process of the worker; the others end by themselves."""
        worker = self.live.stack.worker
        killed = self._kill_process(look)
        if killed:
            self.live.until(lambda: not worker.running, "the worker is dead")
        self._mend()
        return killed

    def _kill_process(
        self, look: Callable[[], Sequence[psutil.Process]]
    ) -> bool:
        end = time.monotonic() + PREY_SECONDS
        while time.monotonic() < end:
            found = sorted(look(), key=lambda process: process.pid)
            if found and self._kill(self.random.choice(found)):
                return True
            time.sleep(LOOK_SECONDS)
        return False

    @staticmethod
    def _kill(process: psutil.Process) -> bool:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            return False  # It has just ended.
        return True

    def _kill_at(self, boundaries: Sequence[str]) -> bool:
        """Let whoever reaches a boundary first kill itself."""
        boundary = self.random.choice(boundaries)
        self.points.arm(boundary)
        self._post()  # or a tick might have nothing to do
        self.load.bring_in()
        end = time.monotonic() + PREY_SECONDS
        while self.points.is_armed(boundary) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        killed = self.points.take_back(boundary)
        in_tick = boundary in (*at.IN_TICKS, *at.IN_TRUST_TICKS)
        if in_tick and killed:
            code_server = self.live.stack.code_server
            self.live.until(
                lambda: not code_server.running, "the code server is dead"
            )
        self._mend()
        return killed
