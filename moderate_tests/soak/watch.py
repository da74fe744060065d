"""Looks on: what is open, what was done, and how much memory it takes."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil
import psycopg

from moderate.inbox.model import FINAL_STATES
from moderate.local.stack import INBOX_DATABASE
from moderate_tests.soak.figures import Memory, Success
from moderate_tests.soak.ledger import Flow, Shape, TableFacts
from moderate_tests.soak.stage import Stage
from moderate_tests.soak.tables import Tables

EVERY_SECONDS = 1.0
TABLES_EVERY_SECONDS = 2.0
KINDS: Mapping[str, Flow] = {
    "user_did": Flow.USERS,
    "asset_proof": Flow.OBJECTS,
    # A job is done when the platform was told.
    "platform_job_result": Flow.JOBS,
}
MESSAGES = "matrix_profile"
COUNTS = "SELECT kind, state, count(*) FROM work_item GROUP BY 1, 2"
CONNECTIONS = """SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""


@dataclass(frozen=True)
class Sample:
    """How the service stood at a moment.

    Attributes:
        at: Seconds since the load began.
        open: Items that are not over, by flow.
        done: Items that are, by flow.
        connections: That Postgres has, of everybody but the looker.
    """

    at: float
    open: Mapping[Flow, int]
    done: Mapping[Flow, int]
    connections: int


@dataclass
class Watch:
    """Looks at the service every second, in threads of its own.

    Attributes:
        stage: What runs.
        tables: Looked at, too.
        samples: What was seen.
        memory: What processes took.
        seen: Tables that came to what they should be.
    """

    stage: Stage
    tables: Tables
    began: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    seen: list[Success] = field(default_factory=list)
    _last: dict[Flow, float] = field(default_factory=dict)
    _changed: dict[str, tuple[Shape | None, float]] = field(
        default_factory=dict
    )
    _open_tables: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self.began = time.time()
        for work in (self._watch, self._watch_tables):
            thread = threading.Thread(target=work, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def now(self) -> float:
        """Seconds since the load began."""
        return time.time() - self.began

    def open_of(self, flow: Flow) -> int:
        """Return how many items of a flow were open when last looked at."""
        if flow is Flow.TABLES:
            return self._open_tables
        return self.samples[-1].open[flow] if self.samples else 0

    def goes_again(self, since: float) -> bool:
        """Whether every flow had a success after a moment."""
        return all(self._last.get(flow, -1.0) > since for flow in Flow)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._take_memory()
            with suppress(psycopg.Error):
                self._take_sample()

    def _take_sample(self) -> None:
        url = self.stage.stack.postgres.url(INBOX_DATABASE)
        with psycopg.connect(
            url, connect_timeout=2, options="-c statement_timeout=2000"
        ) as conn:
            rows = conn.execute(COUNTS).fetchall()
            (connections,) = conn.execute(CONNECTIONS).fetchone() or (0,)
        opened, done = dict.fromkeys(Flow, 0), dict.fromkeys(Flow, 0)
        for kind, state, count in rows:
            is_over = state in FINAL_STATES
            flow = Flow.JOBS if kind == MESSAGES else KINDS.get(kind)
            if flow and not is_over:
                opened[flow] += count
            if kind in KINDS and is_over:
                done[KINDS[kind]] += count
        opened[Flow.TABLES] = self._open_tables
        done[Flow.TABLES] = len(self.seen)
        self._note(Sample(self.now, opened, done, connections))

    def _note(self, sample: Sample) -> None:
        before = self.samples[-1].done if self.samples else {}
        for flow, number in sample.done.items():
            if number > before.get(flow, 0):
                self._last[flow] = sample.at
        self.samples.append(sample)

    def _take_memory(self) -> None:
        stack = self.stage.stack
        parts = (
            stack.code_server,
            stack.daemon,
            stack.webserver,
            stack.worker,
            stack.intake,
        )
        for part in parts:
            pid = part.process.pid if part.running else None
            if pid is None:
                continue
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                self._note_memory(part.name, process)
                if part is stack.worker and (below := process.children()):
                    self._note_memory("worker's template", below[0])

    def _note_memory(self, part: str, process: psutil.Process) -> None:
        size = process.memory_info().rss
        self.memory.append(Memory(part, process.pid, self.now, size))

    def _watch_tables(self) -> None:
        while not self._over.wait(TABLES_EVERY_SECONDS):
            with suppress(psycopg.Error, httpx.HTTPError):
                self._compare(self.tables.facts())

    def _compare(self, facts: Sequence[TableFacts]) -> None:
        still_open = 0
        for each in facts:
            shape, since = self._changed.get(each.name, (None, -1.0))
            if shape != each.should:
                since = self.now
                self._changed[each.name] = (each.should, since)
            if list(each.findings()):
                still_open += 1
            elif since >= 0:
                now = self.now
                self.seen.append(Success(Flow.TABLES, now, now - since))
                self._changed[each.name] = (each.should, -1.0)
        self._open_tables = still_open
