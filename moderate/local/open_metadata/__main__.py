"""Starts the emulator: ``python -m moderate.local.open_metadata``."""

import sys

from moderate.local.open_metadata.app import create_app
from moderate.local.open_metadata.config import EmulatorSettings
from moderate.local.serving import run_emulator


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run_emulator("OpenMetadata", EmulatorSettings, create_app)


if __name__ == "__main__":
    sys.exit(main())
