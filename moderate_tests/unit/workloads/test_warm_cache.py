import stat
from pathlib import Path

import pytest

from moderate.workloads.matrix_profile.warm_cache import (
    SOURCE,
    TARGET,
    copy_warm_cache,
)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    image = tmp_path / "image"
    (image / "matrix_profile").mkdir(parents=True)
    (image / "matrix_profile" / "kernel.nbi").write_bytes(b"compiled")
    return image


def test_a_run_gets_its_own_copy_that_nobody_else_can_write_to(
    image: Path,
) -> None:
    """numba runs what it finds there."""
    environ = {SOURCE: str(image)}

    copy_warm_cache(environ)

    copy = Path(environ[TARGET])
    assert copy != image
    assert (copy / "matrix_profile" / "kernel.nbi").read_bytes() == b"compiled"
    assert stat.S_IMODE(copy.stat().st_mode) & 0o022 == 0


def test_without_an_image_nothing_is_changed() -> None:
    environ: dict[str, str] = {}

    copy_warm_cache(environ)

    assert environ == {}


def test_a_cache_that_somebody_chose_stays(image: Path) -> None:
    environ = {SOURCE: str(image), TARGET: "/chosen"}

    copy_warm_cache(environ)

    assert environ[TARGET] == "/chosen"


def test_a_copy_that_fails_costs_time_and_not_the_run(
    image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {SOURCE: str(image / "nothing")}

    copy_warm_cache(environ)

    assert TARGET not in environ
    assert "can't be copied" in caplog.text
