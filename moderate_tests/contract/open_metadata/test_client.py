"""The official client finds what it needs at the server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from moderate_tests.contract.open_metadata.peer import PREFIX, Peer

PROGRAM = Path(__file__).with_name("client_program.py")
# Its imports alone take 16 s of CPU on a slow machine.
TIMEOUT_SECONDS = 240


def test_the_official_client_makes_entities_and_reads_them_back(
    peer: Peer,
) -> None:
    """Where the emulator's answers have another shape, its models refuse."""
    given = {
        "url": str(peer.client.base_url).rstrip("/"),
        "token": peer.token,
        "service": f"{PREFIX}{uuid4().hex}",
    }

    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM)],
        input=json.dumps(given),
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    schema = f"{given['service']}.shop.hr"
    assert json.loads(ended.stdout) == {
        "processed": 3,
        "failed": [f"databaseSchema instance for {schema}.no not found"],
        "listed": ["t", 'we"ird.name/ü'],
        "missing": None,
        "by_name": [True, True],
        "rows": 5,
        "nulls": 0.5,
        "sample": 2,
    }
