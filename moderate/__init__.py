"""Event-driven sensor and ingestion workers for a building-energy data space.

Nothing is wired on import: the composition root is ``moderate.definitions``.
``dagster … --package-name moderate`` finds it all the same, at first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import Definitions

    defs: Definitions
else:

    def __dir__() -> list[str]:
        """Name what Dagster looks for, too, though it is not there yet."""
        return [*globals(), "defs"]

    def __getattr__(name: str) -> "Definitions":
        """Load the code location when it is asked for."""
        if name != "defs":
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from moderate.definitions import defs  # noqa: PLC0415

        return defs
