"""What is wrong with a data set or with what was asked of it."""

from moderate.errors import PermanentError


class DataError(PermanentError):
    """The input or the request is wrong; nothing was written.

    The text is one line that names column and row, and never holds a cell's
    value: it goes to logs.
    """


class GuaranteeError(DataError):
    """The check of the output found less than what was asked for."""
