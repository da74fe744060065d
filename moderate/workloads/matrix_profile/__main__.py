"""Runs the analysis: environment in, report out, an exit code at the end."""

import logging
import os
import sys
import traceback
from collections.abc import Mapping

# Nothing here multiplies matrices; its idle threads would cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from moderate.workloads.matrix_profile.errors import (
    EXIT_BUG,
    EXIT_OK,
    InputError,
    WorkloadError,
)
from moderate.workloads.matrix_profile.redaction import (
    RedactingStream,
    secrets_of,
)
from moderate.workloads.matrix_profile.warm_cache import copy_warm_cache


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Runs one analysis.

    Details go to standard error first; if it fails, its last line is a
    summary in plain words.

    Args:
        environ: The environment; see
            :mod:`moderate.workloads.matrix_profile.config`.

    Returns:
        The exit code; see :mod:`moderate.workloads.matrix_profile.errors`.
    """
    sys.stderr = RedactingStream(sys.stderr, secrets_of(environ))
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # Here, since importing numpy can fail for want of memory, too.
    try:
        copy_warm_cache()
        from moderate.workloads.matrix_profile.run import (  # noqa: PLC0415
            run,
        )

        run(environ)
    except WorkloadError as error:
        return _failed(error.exit_code, str(error))
    except MemoryError:
        return _failed(
            InputError.exit_code,
            "the analysis needs more memory than it may use; analyse a "
            "shorter period or a coarser step",
        )
    except Exception as error:  # noqa: BLE001 (the last line is a contract)
        name = type(error).__name__
        return _failed(
            EXIT_BUG, f"the analysis failed by a fault in its program ({name})"
        )
    return EXIT_OK


def _failed(code: int, summary: str) -> int:
    """Writes the details, then the one line for people."""
    sys.stderr.write(traceback.format_exc())
    sys.stderr.write(" ".join(summary.split()) + "\n")
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
