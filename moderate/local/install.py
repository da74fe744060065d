"""What the local stack needs of the machine, and how it gets there.

``ensure`` installs Debian packages where that can be done (as root, or with
a sudo that asks no password) and otherwise says the exact line to type. It
never leaves a system service running, see ``apt-install.sh``.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

APT_INSTALL = Path(__file__).with_name("apt-install.sh")
LINES_SHOWN_ON_FAILURE = 25

POSTGRES_HOME = Path("/usr/lib/postgresql")
POSTGRES_OLDEST = 15
RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
JAVA_OLDEST = 17
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


class InstallError(Exception):
    """Something is missing that we could not install; says what to type."""


@dataclass(frozen=True)
class Requirement:
    """Something that the machine must have.

    Attributes:
        name: What people call it.
        package: The Debian package that brings it.
        find: Where it is, or None.
    """

    name: str
    package: str
    find: Callable[[], Path | None]


def _find_postgres() -> Path | None:
    """The newest server's folder of programs, if it is new enough."""
    versions = {
        int(folder.parent.name): folder
        for folder in POSTGRES_HOME.glob("*/bin")
        if folder.parent.name.isdigit() and (folder / "postgres").exists()
    }
    newest = max(versions, default=0)
    return versions[newest] if newest >= POSTGRES_OLDEST else None


def _find_rabbitmq() -> Path | None:
    # Not the one on the path: Debian's wrapper runs as root or as user
    # rabbitmq only.
    return RABBITMQ_SERVER if RABBITMQ_SERVER.exists() else None


def _find_java() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    own = str(Path(home) / "bin" / "java") if home else None
    for candidate in (own, shutil.which("java")):
        if candidate and _java_version(candidate) >= JAVA_OLDEST:
            return Path(candidate)
    return None


def _java_version(java: str) -> int:
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0


def _on_path(*names: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        for name in names:
            if found := shutil.which(name):
                return Path(found)
        return None

    return find


POSTGRES = Requirement("Postgres 15+", "postgresql", _find_postgres)
RABBITMQ = Requirement("RabbitMQ", "rabbitmq-server", _find_rabbitmq)
JAVA = Requirement("Java 17+", "openjdk-17-jre-headless", _find_java)
MAVEN = Requirement("Maven", "maven", _on_path("mvn"))
CHROMIUM = Requirement("Chromium", "chromium", _on_path(*CHROMIUM_NAMES))
GIT_LFS = Requirement("Git LFS", "git-lfs", _on_path("git-lfs"))
PROMTOOL = Requirement("promtool", "prometheus", _on_path("promtool"))

#: What the stack runs on. Go is not here: without it moto serves S3.
STACK = (POSTGRES, RABBITMQ, JAVA, MAVEN)
#: What the tests need besides.
TESTS = (*STACK, CHROMIUM, GIT_LFS, PROMTOOL)


def locate(requirement: Requirement) -> Path:
    """Where ``requirement`` is.

    Raises:
        InstallError: It is not on this machine.
    """
    if found := requirement.find():
        return found
    raise InstallError(
        f"{requirement.name} is missing. Install it with:\n"
        f"  {install_line([requirement])}"
    )


def missing(requirements: Iterable[Requirement]) -> list[Requirement]:
    """Those of ``requirements`` that the machine lacks."""
    return [each for each in requirements if each.find() is None]


def install_line(requirements: Iterable[Requirement]) -> str:
    """The line that a person types to install ``requirements``."""
    packages = shlex.join(each.package for each in requirements)
    return (
        "sudo apt-get update && sudo apt-get install --yes "
        f"--no-install-recommends {packages}"
    )


def ensure(
    requirements: Iterable[Requirement], say: Callable[[str], None] = print
) -> None:
    """Install what is missing of ``requirements``.

    Args:
        requirements: What must be there.
        say: Takes lines of progress.

    Raises:
        InstallError: There is no way to install it from here, or the
            installation failed. The text has the line to type.
    """
    absent = missing(requirements)
    if not absent:
        return
    names = ", ".join(each.name for each in absent)
    rights = _rights()
    if rights is None:
        raise InstallError(
            f"Missing: {names}. Install with:\n  {install_line(absent)}"
        )
    say(f"Installing {names}; this takes a minute or two.")
    packages = [each.package for each in absent]
    _run([*rights, "bash", str(APT_INSTALL), *packages], say)
    for each in absent:
        locate(each)


def _rights() -> list[str] | None:
    """What goes before a command that installs; None when nothing helps."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(
        ["sudo", "-n", "true"], capture_output=True, check=False
    )
    return ["sudo", "-n"] if asked.returncode == 0 else None


def _run(command: list[str], say: Callable[[str], None]) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith(("Get:", "Setting up", "Reading the")):
                say(f"  {line.rstrip()}")
    if process.returncode != 0:
        shown = "\n".join(lines[-LINES_SHOWN_ON_FAILURE:])
        raise InstallError(
            f"{shlex.join(command)} ended with exit code "
            f"{process.returncode}:\n{shown}"
        )
