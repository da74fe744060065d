"""A Git server with Git LFS behind https, as hosts of repositories have."""

import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from moderate_tests.integration.flows.git_origin import Origin

BATCH = "/info/lfs/objects/batch"
LFS_TYPE = "application/vnd.git-lfs+json"
HOST = "127.0.0.1"


class GitServer(ThreadingHTTPServer):
    """Serves one repository by ``git http-backend`` and the LFS batch API.

    Attributes:
        url: The repository.
        authority: Certificate of the authority that vouches for the server.
        downloads: LFS objects that were asked for, in order.
        cut_off: How many more downloads break off at 90%.
        other_bytes: Whether objects are other than they are named.
    """

    def __init__(self, origin: Origin, folder: Path) -> None:
        super().__init__((HOST, 0), _Handler)
        self.origin = origin
        self.authority = folder / "authority.pem"
        self.downloads: list[str] = []
        self.cut_off = 0
        self.other_bytes = False
        secret = folder / "server.pem"
        certify(self.authority, secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, secret)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = f"https://{HOST}:{self.server_port}"
        self.url = f"{self.root}/{origin.bare.name}"

    def object_file(self, oid: str) -> Path:
        """Return where an LFS object lies."""
        objects = self.origin.bare / "lfs" / "objects"
        return objects / oid[:2] / oid[2:4] / oid

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: tests make them."""


class _Handler(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/objects/"):
            self._send_object(path.removeprefix("/objects/"))
        else:
            self._backend(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith(BATCH):
            self._batch(json.loads(body))
        else:
            self._backend(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _batch(self, asked: dict[str, Any]) -> None:
        """Answer as the Git LFS batch API says (docs/api/batch.md)."""
        answer = json.dumps(
            {
                "transfer": "basic",
                "objects": [self._offer(o) for o in asked["objects"]],
            }
        ).encode()
        self._send(200, answer, LFS_TYPE)

    def _offer(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid = asked["oid"]
        if not self.server.object_file(oid).exists():
            error = {"code": 404, "message": "Object does not exist"}
            return {**asked, "error": error}
        href = f"{self.server.root}/objects/{oid}"
        return {**asked, "actions": {"download": {"href": href}}}

    def _send_object(self, oid: str) -> None:
        self.server.downloads.append(oid)
        content = self.server.object_file(oid).read_bytes()
        if self.server.other_bytes:
            content = content[::-1]
        if self.server.cut_off:
            self.server.cut_off -= 1
            sent = content[: len(content) * 9 // 10]
            self._send(200, sent, "application/octet-stream", len(content))
            self.close_connection = True
        else:
            self._send(200, content, "application/octet-stream")

    def _send(
        self, status: int, content: bytes, kind: str, size: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _backend(self, body: bytes) -> None:
        """Hand a request to Git's own program, as CGI."""
        parts = urlsplit(self.path)
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.origin.bare.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get(
                    "Content-Encoding", ""
                ),
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
            },
            input=body,
            capture_output=True,
            check=True,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode().splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        status = int(headers.pop("Status", "200").split()[0])
        self._send(status, content, headers["Content-Type"])


@contextmanager
def serving(origin: Origin, folder: Path) -> Iterator[GitServer]:
    """Serve a repository for the length of a block.

    Args:
        origin: The repository.
        folder: Takes the certificate and its key.
    """
    with GitServer(origin, folder) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def certify(certificate: Path, secret: Path) -> None:
    """Write a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    basic = x509.BasicConstraints(ca=True, path_length=None)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(basic, critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
