"""The workload stands alone: its image installs one small extra."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from moderate.workloads.matrix_profile import analysis, report, run, upload
print(json.dumps(sorted(sys.modules)))
"""
FORBIDDEN = {"dagster", "pandas", "pydantic", "pydantic_settings", "stumpy"}


def test_it_imports_nothing_else_of_ours_and_nothing_heavy_in_vain() -> None:
    """pyarrow comes only with a Parquet file."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(json.loads(done.stdout))
    ours = {name for name in modules if name.startswith("moderate.")}
    assert all(name.startswith("moderate.workloads") for name in ours)
    assert not modules & (FORBIDDEN | {"pyarrow"})
