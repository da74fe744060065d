"""The documentation's worked example is a service, as it stands."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import moderate
from moderate.flows.data_services import catalogue, services
from moderate_tests.integration.data_services.conftest import Run
from moderate_tests.unit.dataservices.helpers import PEOPLE

PAGE = Path(moderate.__file__).parents[1] / "docs" / "data-services.md"
NAME = "zz_worked_example"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file among the services."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / f"{NAME}.py").write_text(code)
    monkeypatch.setattr(
        services, "__path__", [*services.__path__, str(tmp_path / "more")]
    )
    yield
    sys.modules.pop(f"{services.__name__}.{NAME}", None)
    vars(services).pop(NAME, None)


def test_a_new_service_is_one_file(
    tmp_path: Path, run: Run, example: None
) -> None:
    (tmp_path / "in.csv").write_text(PEOPLE)
    result = run(
        "keep_head_job",
        f"""
ops:
  read_csv_to_df: {{config: {{input_path: {tmp_path}/in.csv}}}}
  keep_head: {{config: {{rows: 2}}}}
  write_df_to_csv: {{config: {{output_path: {tmp_path}/out.csv}}}}
""",
    )
    assert result.success
    lines = PEOPLE.splitlines()
    assert (tmp_path / "out.csv").read_text().splitlines() == lines[:3]


def test_every_job_and_op_is_in_the_documentation() -> None:
    text = PAGE.read_text()
    modules = [
        import_module(f"{services.__name__}.{path.stem}")
        for path in Path(services.__path__[0]).glob("[a-z]*.py")
    ]
    assert {job.name for module in modules for job in module.JOBS} == {
        job.name for job in catalogue.jobs()
    }
    for module in modules:
        ops = {
            node.definition.name for job in module.JOBS for node in job.nodes
        }
        for name in ops:
            assert f"`{name}`" in text


def test_a_package_adds_jobs_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an installed package would."""
    info = tmp_path / "more_services-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: more-services\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[{catalogue.ENTRY_POINTS}]\nmore = more_services\n"
    )
    (tmp_path / "more_services.py").write_text(
        "from moderate.flows.data_services.services.data_processing import "
        "_body\n"
        "from moderate.flows.data_services.building import service_job\n"
        "JOBS = [service_job('more_job', 'MORE', _body)]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "more_job" in {job.name for job in catalogue.jobs()}
    sys.modules.pop("more_services", None)
