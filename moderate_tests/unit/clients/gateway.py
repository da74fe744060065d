"""The platform's gateway as a scripted peer, and what the API said to us."""

import threading
from collections.abc import Callable
from typing import Any

from moderate.clients.platform_api import JobResults, PlatformApi
from moderate_tests.unit.clients.peer import (
    Answerer,
    Peer,
    Raw,
    Reply,
    Request,
)

PASSWORD = "canary-Zx9/pass&word"
TOKEN_ROUTE = ("POST", "/api/token")

JOB = {
    "id": 1,
    "job_type": "matrix_profile",
    "arguments": {"analysis_variable": "a", "uploaded_s3_object_id": 7},
    "results": None,
    "created_at": "2026-11-21T08:19:42.549580",
    "finalised_at": None,
    "creator_username": "alice",
    "extended_results": None,
}
OBJECT = {
    "tags": None,
    "created_at": "2026-11-21T08:19:20.496738",
    "series_id": None,
    "proof_id": None,
    "meta": None,
    "name": None,
    "description": None,
    "id": 3,
    "key": "alice-assets/p-db56943b.csv",
    "sha256_hash": "b948",
    "bucket": "moderate",
    "etag": '"f12d-1"',
    "location": "http://moderate.s3.amazonaws.com/alice-assets/p.csv",
    "asset_id": 5,
}
TASK = {
    "id": 9,
    "username_owner": "workflows",
    "result": None,
    "error": None,
    "created_at": "2026-11-21T08:19:34.327765",
    "finished_at": None,
}
NOT_FOUND = Reply(404, {"detail": "Not Found"})
FORBIDDEN = Reply(403, {"detail": "Forbidden"})
NO_ROUTE = Reply(404, text="Not Found")
NO_ROLE = Reply(
    403, {"error": "access_denied", "error_description": "not_authorized"}
)
DATABASE_ERROR = Reply(500, {"message": "Database operation error"})


class Gateway:
    """Gives tokens out, and takes those that it gave out last.

    Attributes:
        answer: The API behind the gateway.
        lifetime: Seconds that a token is said to live.
        login: Instead of a token.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.lifetime = 300.0
        self.login: Reply | Raw | None = None
        self.answer: Answerer = lambda _request: NO_ROUTE
        self._given = 0
        self._lock = threading.Lock()
        peer.answer = self._route

    @property
    def logins(self) -> int:
        return len(self.peer.asked(*TOKEN_ROUTE))

    @property
    def asked(self) -> list[Request]:
        routes = [(r.method, r.path) for r in self.peer.seen]
        return [
            request
            for request, route in zip(self.peer.seen, routes, strict=True)
            if route != TOKEN_ROUTE
        ]

    def replies(self, *replies: Reply | Raw) -> None:
        self.peer.replies(*replies)
        self.answer, self.peer.answer = self.peer.answer, self._route

    def expire(self) -> None:
        self._given += 1

    def _route(self, request: Request) -> Reply | Raw:
        if (request.method, request.path) == TOKEN_ROUTE:
            return self._token()
        if request.headers.get("authorization") != f"Bearer t{self._given}":
            return Reply(
                401, {"error": "invalid_grant", "error_description": "Invalid"}
            )
        return self.answer(request)

    def _token(self) -> Reply | Raw:
        if self.login:
            return self.login
        with self._lock:
            self._given += 1
        token = f"t{self._given}"
        body = {"access_token": token, "expires_in": self.lifetime}
        return Reply(200, body, headers={"content-type": "text/plain"})


Call = Callable[[PlatformApi], Any]

CALLS: dict[str, Call] = {
    "get_job": lambda api: api.get_job(1),
    "finalise_job": lambda api: api.finalise_job(
        1, JobResults(workflow_job_id=1)
    ),
    "count_jobs": lambda api: api.count_jobs(),
    "create_job": lambda api: api.create_job("matrix_profile", 7, "a"),
    "get_object": lambda api: api.get_object(7),
    "list": lambda api: api.list_objects_without_proof(0),
    "create_asset": lambda api: api.create_asset("n"),
    "upload": lambda api: api.upload_object(5, "p.csv", b"x"),
    "request_did": lambda api: api.request_did("alice"),
    "request_proof": lambda api: api.request_proof(7),
    "get_task": lambda api: api.get_task(9),
}
MAYBE_NONE = {"get_job", "request_proof", "get_task"}
ADMINS_ONLY = {"finalise_job", "get_object", "list"}
