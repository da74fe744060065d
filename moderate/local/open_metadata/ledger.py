"""What was asked, counted and in order."""

from collections import Counter, deque

from pydantic import BaseModel, Field

# Enough for a run over 200 databases; the counts have no bound.
REMEMBERED_CALLS = 50_000
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = 400


class Call(BaseModel):
    """One request."""

    at: float = Field(description="Seconds since 1970.")
    method: str
    path: str
    query: str
    status: int
    seconds: float
    rows: int | None = Field(None, description="Of a bulk request.")


class Bulk(BaseModel):
    """What a bulk request brought."""

    kind: str = Field(description="As in `table`.")
    processed: int
    failed: int
    created: int
    updated: int
    unchanged: int


class Ledger(BaseModel):
    """Everything since the start or the last reset."""

    requests: dict[str, dict[int, int]] = Field(
        description="Number of requests by method and route, and by status."
    )
    writes: int = Field(
        description="Requests other than GET that were not refused."
    )
    rows: dict[str, int] = Field(
        description="Rows of bulk requests, by kind of entity."
    )
    bulks: list[Bulk]
    calls: list[Call] = Field(description="The last 50,000, in order.")


class LedgerBook:
    """Writes the ledger and reads it back."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._counts: Counter[tuple[str, int]] = Counter()
        self._writes = 0
        self._bulks: list[Bulk] = []
        self._calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)

    def called(self, route: str, call: Call) -> None:
        """Write down a request.

        Args:
            route: Its path with names of parameters instead of their values.
            call: The request.
        """
        self._counts[f"{call.method} {route}", call.status] += 1
        if call.method not in READING and call.status < REFUSED:
            self._writes += 1
        self._calls.append(call)

    def brought(self, bulk: Bulk) -> None:
        """Write down what a bulk request brought."""
        self._bulks.append(bulk)

    def read(self, *, calls: bool = True) -> Ledger:
        """Everything that was written down.

        Args:
            calls: Whether to list every call.
        """
        requests: dict[str, dict[int, int]] = {}
        for (route, status), number in sorted(self._counts.items()):
            requests.setdefault(route, {})[status] = number
        rows: Counter[str] = Counter()
        for bulk in self._bulks:
            rows[bulk.kind] += bulk.processed
        return Ledger(
            requests=requests,
            writes=self._writes,
            rows=dict(rows),
            bulks=self._bulks,
            calls=list(self._calls) if calls else [],
        )
