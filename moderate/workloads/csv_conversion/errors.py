"""What can be wrong with a file."""


class CsvError(Exception):
    """The file can't be converted; reading it again would not help.

    Args:
        what: What is wrong, in plain words.
        line: Line of the file, from 1, title lines and header included.
        column: Name of the column, or its number from 1.
    """

    def __init__(
        self,
        what: str,
        *,
        line: int | None = None,
        column: str | int | None = None,
    ) -> None:
        places = []
        if line is not None:
            places.append(f"line {line}")
        if column is not None:
            shown = repr(column) if isinstance(column, str) else column
            places.append(f"column {shown}")
        where = ", ".join(places)
        super().__init__(f"{where}: {what}" if where else what)
        self.what = what
        self.line = line
        self.column = column
