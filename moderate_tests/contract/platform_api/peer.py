"""The platform API under test, whichever it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

TOKEN_TYPE = "application/x-www-form-urlencoded"
TOKEN_USE_SECONDS = 200.0
TASK_TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.05
ADMIN = "admin"
OWNER = "owner"


@dataclass
class Peer:
    """One platform API and the accounts to use it with.

    Attributes:
        url: Its base URL.
        names: Usernames by role in the suite: ``admin``, ``owner`` (may be
            the admin), ``other`` (basic, owns nothing), ``norole``.
        passwords: By username.
        controlled: Whether it is an emulator with its controls.
    """

    url: str
    names: Mapping[str, str]
    passwords: Mapping[str, str]
    controlled: bool
    client: httpx.Client = field(init=False)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.url, timeout=60, trust_env=False
        )

    def need(self, *roles: str) -> None:
        """Skip the test where there is no user for a role."""
        for role in roles:
            if role not in self.names:
                pytest.skip(f"this platform gives us no user `{role}`")
        if len({self.names[role] for role in roles}) < len(roles):
            pytest.skip(f"this platform has one user for {', '.join(roles)}")

    def need_control(self, why: str) -> None:
        """Skip the test where we can't make the platform do something."""
        if not self.controlled:
            pytest.skip(f"only the emulator can be told to: {why}")

    def login(self, role: str) -> httpx.Response:
        """Ask for a token."""
        name = self.names[role]
        form = {"username": name, "password": self.passwords[name]}
        return self.client.post("/api/token", data=form)

    def token(self, role: str) -> str:
        """A token that is not old."""
        token, since = self._tokens.get(role, ("", 0.0))
        if not token or time.monotonic() - since > TOKEN_USE_SECONDS:
            self.need(role)
            answer = self.login(role)
            assert answer.status_code == 200, answer.text
            token = answer.json()["access_token"]
            self._tokens[role] = (token, time.monotonic())
        return token

    def headers(self, role: str | None) -> dict[str, str]:
        """What says who asks; roles include broken tokens."""
        if role is None:
            return {}
        if role == "garbage":
            return {"authorization": "Bearer not.a.jwt"}
        if role == "tampered":
            return {"authorization": f"Bearer {tamper(self.token(ADMIN))}"}
        return {"authorization": f"Bearer {self.token(role)}"}

    def ask(
        self, role: str | None, method: str, path: str, **how: Any
    ) -> httpx.Response:
        """Send a request as someone."""
        headers = self.headers(role) | how.pop("headers", {})
        return self.client.request(method, path, headers=headers, **how)

    def get(self, role: str | None, path: str, **how: Any) -> Any:
        """Read something that must be there."""
        answer = self.ask(role, "GET", path, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, role: str | None, path: str, **how: Any) -> Any:
        """Post something that must be taken."""
        answer = self.ask(role, "POST", path, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def upload(
        self, role: str, asset_id: int, file_name: str, /, **form: str
    ) -> Any:
        """Upload a small file."""
        return self.post(
            role,
            f"/asset/{asset_id}/object",
            files={"obj": (file_name, b"when,a\n1,2\n", "text/csv")},
            data=form,
        )

    def finish(self, role: str, task_id: int, path: str = "/user/did") -> Any:
        """Wait until a task has ended, however."""
        return until(
            lambda: self.get(role, f"{path}/task/{task_id}"),
            lambda task: task["finished_at"] is not None,
        )

    def control(self, method: str, what: str, **how: Any) -> Any:
        """Use the emulator's controls."""
        answer = self.client.request(method, f"/_emulator/{what}", **how)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def until(
    look: Callable[[], Any],
    good: Callable[[Any], bool] = bool,
    seconds: float = TASK_TIMEOUT_SECONDS,
) -> Any:
    """Look again and again until what is seen is good."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r}"
        time.sleep(POLL_SECONDS)
    return seen


def tamper(token: str) -> str:
    """Change a token's signature."""
    head, body, signature = token.split(".")
    first = "A" if signature[0] != "A" else "B"
    return f"{head}.{body}.{first}{signature[1:]}"
