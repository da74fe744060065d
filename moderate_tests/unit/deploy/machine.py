"""A machine whose programs only note how they are called."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from moderate_tests.unit.deploy.files import ROOT

PROFILE = "moderate-dev"
ADDRESS = "192.168.49.2"
# What forwards to the cluster's registry, and what answers when it does.
FORWARDING = "port-forward service/registry"
REGISTRY = "localhost:5000/v2/"
# Seconds that a program stays which is ended by whoever started it. Who does
# not would wait for its pipes for longer than a test may take.
LONG = 600
STUB = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
line = " ".join([name, *arguments])
reads = "--filename -" in line or "/dev/stdin" in line
given = sys.stdin.read() if reads else ""
folder = pathlib.Path(os.environ["STUBS"])
with (folder / "calls").open("a") as calls:
    entry = {"line": line, "stdin": given, "env": dict(os.environ)}
    calls.write(json.dumps(entry) + "\\n")
for part, answer in json.loads((folder / "answers").read_text()).items():
    if part in line:
        sys.stdout.write(answer["out"])
        time.sleep(answer["seconds"])
        sys.exit(answer["code"])
"""


@dataclass
class Machine:
    """A machine whose programs only note how they are called."""

    folder: Path
    answers: dict[str, dict[str, object]] = field(default_factory=dict)

    def answer(
        self, part: str, out: str = "", code: int = 0, seconds: float = 0
    ) -> None:
        """Let calls that contain ``part`` answer like this, after a while."""
        self.answers[part] = {"out": out, "code": code, "seconds": seconds}

    def run(
        self, command: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return self.execute(
            str(ROOT / "scripts" / "dev-k8s"), command, **environment
        )

    def task(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a task; what it may delete is in ``local``."""
        own = ROOT / ".venv" / "bin"
        return self.execute(
            str(own / "task"),
            *arguments,
            **{
                "PATH": f"{self.folder}:{own}:/usr/bin:/bin",
                "LOCAL_DIR": str(self.local),
                **environment,
            },
        )

    @property
    def local(self) -> Path:
        """The folder of the local stack."""
        return self.folder / "local"

    def execute(
        self, *command: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the repository, or of another one."""
        (self.folder / "answers").write_text(json.dumps(self.answers))
        return subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            env={
                "PATH": f"{self.folder}:/usr/bin:/bin",
                "HOME": str(self.folder),
                "STUBS": str(self.folder),
                "IMAGE_STORE": str(self.folder / "store"),
                "BASE": "base",
                "HOST_IP": "10.0.0.5",
                "IMAGE_TAG": "1.2.3",
                "DAGSTER_CHART_VERSION": "1.13.27",
                "OPEN_METADATA_CHART_VERSION": "1.13.1",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def calls(self) -> list[dict[str, str]]:
        """How the programs were called."""
        noted = self.folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def lines(self) -> list[str]:
        """Their command lines."""
        return [call["line"] for call in self.calls]

    def line(self, *parts: str) -> str:
        """Return the one command line that contains all ``parts``."""
        (found,) = [
            line for line in self.lines if all(part in line for part in parts)
        ]
        return found
