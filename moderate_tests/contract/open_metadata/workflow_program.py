"""A workflow of the framework, as ``test_workflows`` runs it.

In a process of its own, for the reasons of ``client_program``. Its argument
is the kind of workflow; the configuration comes by the standard input.
"""

import json
import sys

from metadata.workflow.metadata import MetadataWorkflow
from metadata.workflow.profiler import ProfilerWorkflow

KINDS = {"metadata": MetadataWorkflow, "profiler": ProfilerWorkflow}


def main() -> None:
    """Run it; ends with an exception when anything in it failed."""
    workflow = KINDS[sys.argv[1]].create(json.load(sys.stdin))
    workflow.execute()
    try:
        workflow.raise_from_status()
    finally:
        workflow.stop()


if __name__ == "__main__":
    main()
