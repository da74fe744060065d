#!/usr/bin/env python3
"""Print what an image installs, one requirement a line.

Run in the folder of ``setup.py``. It takes the names of extras; ``core``
stands for what the worker always needs. An extra can so be had without the
core, which no installer offers: the image of an analysis has no Dagster.
"""

import distutils.core
import sys
from typing import Any

CORE = "core"


def main(names: list[str]) -> None:
    """Print the requirements of ``names``, sorted and each once."""
    setup: Any = distutils.core.run_setup("setup.py", stop_after="init")
    offered = {CORE: setup.install_requires, **setup.extras_require}
    unknown = sorted(set(names) - set(offered))
    if unknown or not names:
        sys.exit(
            f"unknown: {', '.join(unknown) or 'nothing was asked for'};"
            f" there are {', '.join(sorted(offered))}"
        )
    wanted = {line for name in names for line in offered[name]}
    sys.stdout.write("\n".join(sorted(wanted)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
