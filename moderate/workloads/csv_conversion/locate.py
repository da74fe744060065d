"""The slow way to the place of a fault that Arrow has met."""

import csv
import io
from collections.abc import Sequence

from moderate.workloads.csv_conversion.blocks import Block
from moderate.workloads.csv_conversion.errors import CsvError
from moderate.workloads.csv_conversion.reading import Reading

_LONGEST_REASON = 200


def locate(
    block: Block, names: Sequence[str], reading: Reading, reason: str
) -> CsvError:
    """Return the error with the first line of the block that is at fault.

    Args:
        block: Where Arrow failed.
        names: The columns of the file.
        reading: How it is written.
        reason: What Arrow says; used where no row has the wrong width.
    """
    text = io.StringIO(block.data.decode(errors="replace"), newline="")
    rows = csv.reader(text, delimiter=reading.separator)
    line = block.line
    try:
        for row in rows:
            if row and len(row) != len(names):
                return _ragged(row, names, line)
            line = block.line + rows.line_num
    except csv.Error as error:
        return CsvError(str(error), line=line)
    return CsvError(reason[:_LONGEST_REASON], line=block.line)


def _ragged(row: Sequence[str], names: Sequence[str], line: int) -> CsvError:
    msg = f"{len(row)} values where the header has {len(names)} names"
    if len(row) < len(names):
        msg += "; the first one that is missing is this column's"
        return CsvError(msg, line=line, column=names[len(row)])
    return CsvError(msg, line=line, column=len(names) + 1)
