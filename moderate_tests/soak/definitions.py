"""The service's own definitions, whole; analyses may be stand-ins.

Nothing else is changed: see ``moderate_tests.faults.workload`` for what an
analysis that stands in does.
"""

import sys
from pathlib import Path

from moderate.definitions import defs
from moderate.flows.matrix_profile import analysis
from moderate_tests.faults import workload

__all__ = ["defs"]

setattr(  # noqa: B010  # its type has the length of the real one
    analysis, "COMMAND", (sys.executable, str(Path(workload.__file__)))
)
