"""One analysis from its configuration to the uploaded report."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

from moderate.workloads.matrix_profile.config import Config, read_config
from moderate.workloads.matrix_profile.download import download, file_name
from moderate.workloads.matrix_profile.table import Table, read_table

logger = logging.getLogger(__name__)

Report = Callable[[Table, Config], bytes]


def run(environ: Mapping[str, str]) -> None:
    """Downloads the table, analyses the variable, uploads the report.

    Args:
        environ: The environment; see
            :mod:`moderate.workloads.matrix_profile.config`.

    Raises:
        WorkloadError: It ended in one of the ways that we foresaw.
    """
    config = read_config(environ)
    # The engine is compiled as it is imported; the data come in meanwhile.
    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(_engine)
        with _timed("download"):
            file = download(config.file_url, max_bytes=config.max_bytes)
        with file:
            table = _read(file, config)
        upload = _uploader()
        with _timed("waiting for the engine"):
            make_report = engine.result()
    report = make_report(table, config)
    with _timed("upload"):
        upload(report, config)
    logger.info("stored %d bytes at %s", len(report), config.key)


def _read(file: IO[bytes], config: Config) -> Table:
    with _timed("table"):
        return read_table(file, config.variable, max_rows=config.max_points)


def _uploader() -> Callable[[bytes, Config], None]:
    from moderate.workloads.matrix_profile.upload import (  # noqa: PLC0415
        upload,
    )

    return upload


def _engine() -> Report:
    """Imports what takes long to import."""
    from moderate.workloads.matrix_profile.analysis import (  # noqa: PLC0415
        analyse,
    )
    from moderate.workloads.matrix_profile.report import (  # noqa: PLC0415
        Subject,
        render,
    )

    def make_report(table: Table, config: Config) -> bytes:
        with _timed("analysis"):
            analysis = analyse(table, config)
        with _timed("report"):
            subject = Subject(
                file=file_name(config.file_url),
                variable=config.variable.strip(),
                table=table.kind,
                time_column=table.time_column,
                created=datetime.now(UTC),
            )
            return render(subject, analysis)

    return make_report


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    logger.info("%s: %.2f s", stage, time.monotonic() - begin)
