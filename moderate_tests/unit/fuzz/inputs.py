"""What the outside may say: noise, odd JSON, and almost right answers."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from moderate.errors import ModerateError
from moderate_tests.unit.clients.peer import Handler, Raw

ODD_NUMBERS = (
    -1,
    0,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    float("nan"),
    float("inf"),
    1e308,
)
ODD_TEXTS = (
    "",
    "\0",
    "\ud800",
    "\u202e",
    "a\nb",
    "9" * 5000,
    "1" * 400,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2024-02-30T25:61:61Z",
    "-1",
    "NaN",
    "$(id)",
    "'; DROP TABLE work_item; --",
)

texts = st.text(max_size=40) | st.sampled_from(ODD_TEXTS)
numbers = st.integers() | st.floats() | st.sampled_from(ODD_NUMBERS)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)

TOO_DEEP = (b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900)
TOO_LONG = (b"9" * 5000, b'{"id": ' + b"9" * 5000 + b"}")


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """Draw a document with some of its parts replaced or missing."""
    wrapped = [copy.deepcopy(document)]
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(wrapped))
        holder, key = draw(st.sampled_from(places))
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
            if not wrapped:
                break
        else:
            holder[key] = draw(json_values)
    return wrapped[0]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all places in a document: what holds them, and the key."""
    keys: Sequence[Any] = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])


def bodies(*documents: Any) -> st.SearchStrategy[bytes]:
    """Return what may come in place of these documents as JSON."""
    right = st.sampled_from(documents)
    almost = right.flatmap(changed).map(encoded)
    return (
        almost
        | almost
        | json_values.map(encoded)
        | st.binary(max_size=200)
        | st.sampled_from((*TOO_DEEP, *TOO_LONG))
        | almost.flatmap(_cut)
    )


def encoded(value: Any) -> bytes:
    """Write JSON as sloppily as peers do: NaN, lone surrogates."""
    return json.dumps(value).encode()


def _cut(body: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(body)).map(lambda end: body[:end])


STATUSES = (
    *(200, 200, 200, 200, 201, 204, 206, 302, 400, 401, 403, 404, 408, 409),
    *(422, 425, 429, 500, 502, 503, 504, 599),
)
HEADERS: Sequence[Mapping[str, str]] = (
    {},
    {},
    {"retry-after": "10"},
    {"retry-after": "9" * 5000},
    {"retry-after": "Mon, 16 Nov 99999999999 00:00:00 GMT"},
    {"retry-after": "Sat, 21 Nov 2026 20:00:00 +9999", "date": "x"},
    {"x-total-count": "9" * 5000},
    {"x-total-count": "3"},
    {"content-type": "text/html; charset=no-such"},
    {"content-encoding": "gzip"},
    {"content-encoding": "deflate, br"},
    {"location": "http://[::1"},
    {"set-cookie": "a=b"},
)


@dataclass(frozen=True)
class Answer:
    """What a peer answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __call__(self, handler: Handler) -> None:
        """Say it on a connection, which ends with it."""
        handler.send_response_only(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(self.body)))
        handler.send_header("connection", "close")
        handler.end_headers()
        handler.wfile.write(self.body)


def answers(*documents: Any) -> st.SearchStrategy[Answer]:
    """Return what a peer may answer in place of these documents."""
    return st.builds(
        Answer,
        st.sampled_from(STATUSES),
        st.sampled_from(HEADERS),
        bodies(*documents),
    )


def raw(answer: Answer) -> Raw:
    """Return an answer as a scripted peer takes it."""
    return answer.__call__


def ends_as_promised(
    act: Callable[[], object], kind: type[Exception] = ModerateError
) -> None:
    """Do something that may fail in our ways only.

    Args:
        act: What to do.
        kind: The errors that may come of it.
    """
    try:
        act()
    except kind as error:
        # Whatever an error says is written to logs and to the inbox.
        str(error).encode(errors="surrogatepass")
