"""One analysis from its configuration to the uploaded report."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from moderate.workloads.matrix_profile.config import Config, read_config
from moderate.workloads.matrix_profile.download import download, file_name
from moderate.workloads.matrix_profile.reader import read_table
from moderate.workloads.matrix_profile.table import Table

logger = logging.getLogger(__name__)


def run(environ: Mapping[str, str]) -> None:
    """Downloads the table, analyses the variable, uploads the report.

    What takes long to import is imported when its turn comes, so that a file
    that is gone or a wrong variable is told at once.

    Args:
        environ: The environment; see
            :mod:`moderate.workloads.matrix_profile.config`.

    Raises:
        WorkloadError: It ended in one of the ways that we foresaw.
    """
    config = read_config(environ)
    with _timed("download"):
        file = download(config.file_url, max_bytes=config.max_bytes)
    with file, _timed("table"):
        table = read_table(file, config.variable, max_rows=config.max_points)
    report = make_report(table, config)
    with _timed("upload"):
        from moderate.workloads.matrix_profile.upload import (  # noqa: PLC0415
            upload,
        )

        upload(report, config)
    logger.info("stored %d bytes at %s", len(report), config.key)


def make_report(table: Table, config: Config) -> bytes:
    """Analyses a table and writes the report.

    Args:
        table: The variable and the times.
        config: What was asked for.

    Returns:
        The report, an HTML file in UTF-8.

    Raises:
        InputError: The table can't give a report.
    """
    with _timed("engine"):
        from moderate.workloads.matrix_profile import (  # noqa: PLC0415
            analysis,
            report,
        )
    with _timed("analysis"):
        result = analysis.analyse(table, config)
    with _timed("report"):
        subject = report.Subject(
            file=file_name(config.file_url),
            variable=config.variable.strip(),
            table=table.kind,
            time_column=table.time_column,
            created=datetime.now(UTC),
        )
        return report.render(subject, result)


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    logger.info("%s: %.2f s", stage, time.monotonic() - begin)
