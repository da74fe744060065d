"""Who may see what an attempt has, and what it leaves."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from moderate.analyses import process
from moderate.analyses.process import ProcessLauncher
from moderate.errors import PermanentError
from moderate_tests.contract.launchers import programs
from moderate_tests.unit.analyses.attempts import run, supervisor_of
from moderate_tests.unit.analyses.worker import ATTEMPT, spec


def test_a_secret_is_on_no_disk_and_no_command_line(
    launcher: ProcessLauncher,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_PASSWORD", "the worker's own")
    lock = tmp_path / "lock"
    canary = "canary-" + os.urandom(8).hex()
    what = replace(
        spec(programs.holds(lock)), secrets={"FILE_URL": SecretStr(canary)}
    )
    launcher.launch(what)
    programs.until(lambda: programs.is_held(lock))

    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    assert not [p for p in files if canary.encode() in p.read_bytes()]
    assert [p for p in shown_by_processes("environ") if canary in p] != []
    assert [p for p in shown_by_processes("cmdline") if canary in p] == []
    # It outlives the worker, so it keeps nothing of the worker's either.
    supervisor = Path(f"/proc/{supervisor_of(root)}/environ").read_text()
    assert canary not in supervisor
    assert "API_PASSWORD" not in supervisor


def shown_by_processes(what: str) -> list[str]:
    shown = []
    for path in Path("/proc").glob(f"[0-9]*/{what}"):
        try:
            shown.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return shown


def test_what_an_attempt_leaves_is_for_its_user_alone(
    launcher: ProcessLauncher, root: Path
) -> None:
    run(launcher, spec("open('result', 'w').close()"))

    modes = [path.stat().st_mode & 0o077 for path in root.rglob("*")]
    assert (root / ATTEMPT.name / "scratch" / "result").exists()
    assert set(modes) == {0}
    assert root.stat().st_mode & 0o077 == 0


def test_the_environment_is_the_given_one(
    launcher: ProcessLauncher,
) -> None:
    what = replace(
        spec("import os; print(*sorted(os.environ))"), env={"ZONE": "1"}
    )
    run(launcher, what)

    # Python itself adds LC_CTYPE where no locale is set.
    names = set(launcher.logs(ATTEMPT, 1000).decode().split())
    given = {"HOME", "MODERATE_ATTEMPT", "TMPDIR", "ZONE"}
    assert given <= names
    assert names <= given | set(process.INHERITED) | {"LC_CTYPE"}


def test_a_core_is_never_dumped(launcher: ProcessLauncher) -> None:
    """It would put the secrets on disk."""
    source = "import resource as r; print(r.getrlimit(r.RLIMIT_CORE))"
    run(launcher, spec(source))

    assert launcher.logs(ATTEMPT, 100) == b"(0, 0)\n"


def test_an_interrupted_clean_up_is_finished_by_the_next(
    launcher: ProcessLauncher, root: Path
) -> None:
    source = "import os; os.makedirs('a/b/c'); os.symlink('/', 'a/root');"
    source += "os.chmod('a/b', 0); os.chmod('a', 0)"
    run(launcher, spec(source))
    (root / ATTEMPT.name).rename(root / f".gone-{ATTEMPT.name}-00")

    assert launcher.all_attempts() == []
    launcher.clean_up(ATTEMPT)

    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives away folders")
@pytest.mark.parametrize("folder", [".", ATTEMPT.name])
def test_a_folder_of_somebody_else_is_refused(
    launcher: ProcessLauncher, root: Path, folder: str
) -> None:
    """The default root is in a folder that everybody may write to."""
    launcher.prepare(spec(""))
    os.chown(root / folder, 4321, -1)

    with pytest.raises(PermanentError, match=r"belongs to user 4321"):
        launcher.prepare(spec(""))
