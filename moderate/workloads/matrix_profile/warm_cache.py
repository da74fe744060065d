"""Where the kernel's compiled form comes from in a container.

numba keeps what it compiled only where it may write, and a container's file
system is read-only. So the image carries the compiled form, and a run copies
it to a folder of its own before the kernel is imported: a second less, and
still numba itself decides whether it fits this processor. A run whose
processor is another one than the image's builder had compiles as ever.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

logger = logging.getLogger(__name__)

SOURCE = "MATRIX_PROFILE_WARM_CACHE"
"""Variable that names the image's folder; set by the image alone."""

TARGET = "NUMBA_CACHE_DIR"
"""numba's own variable; it is read when numba is imported."""


def copy_warm_cache(environ: MutableMapping[str, str] = os.environ) -> None:
    """Lets numba find the image's compiled kernel, if there is one.

    The copy is in a fresh folder that only this user may write to: numba
    runs what it finds there. It is gone with the run's temporary files.

    Args:
        environ: The environment; changed.
    """
    source = environ.get(SOURCE)
    if not source or environ.get(TARGET):
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="numba-"))
        shutil.copytree(source, folder, dirs_exist_ok=True)
    except OSError as error:
        # It is only slower without. What needs the room will say so itself.
        logger.warning("the compiled kernel can't be copied: %s", error)
        return
    environ[TARGET] = str(folder)
