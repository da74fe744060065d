"""Starts the emulator: ``python -m moderate.local.platform_api``."""

import sys

from moderate.local.platform_api.app import create_app
from moderate.local.platform_api.config import EmulatorSettings
from moderate.local.serving import run_emulator


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run_emulator("platform API", EmulatorSettings, create_app)


if __name__ == "__main__":
    sys.exit(main())
