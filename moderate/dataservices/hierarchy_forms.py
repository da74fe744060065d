"""The forms in which a hierarchy is given: built in, or as data.

``simpl_age``, ``simpl_gender`` (names), ``{type: intervals, widths: […]}``,
``{type: prefix, keep: […]}``, ``{type: date, levels: […]}`` and
``{type: csv, …}`` with rows as ARX writes them.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from moderate.dataservices.errors import DataError
from moderate.dataservices.hierarchies import TOP, Generalise, Hierarchy

SIMPL_AGE_WIDTHS = (10, 20, 40)
OLDEST = 150
"""An age at or over this is a slip of the pen."""


class Form(BaseModel):
    """What a person writes to describe a hierarchy."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Intervals(Form):
    """Half-open bands ``[20, 30)`` of growing width, then ``*``.

    Attributes:
        widths: Each a multiple of the one before.
        origin: Where a band begins.
        least: Values under it are outside.
        below: Values at or over it are outside.
    """

    type: Literal["intervals"]
    widths: tuple[Decimal, ...] = Field(min_length=1)
    origin: Decimal = Decimal(0)
    least: Decimal | None = None
    below: Decimal | None = None

    @field_validator("widths")
    @classmethod
    def _nested(cls, widths: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        for narrow, wide in zip((Decimal(0), *widths), widths, strict=False):
            if wide <= narrow or (narrow and wide % narrow):
                msg = "each width must be a multiple of the one before"
                raise ValueError(msg)
        return widths

    def levels(self, value: str) -> Sequence[str]:
        """Return the bands of a number."""
        number = _number(value)
        if self.least is not None and number < self.least:
            raise ValueError
        if self.below is not None and number >= self.below:
            raise ValueError
        return (*(self._band(number, width) for width in self.widths), TOP)

    def _band(self, number: Decimal, width: Decimal) -> str:
        low = self.origin + (number - self.origin) // width * width
        if low > number:  # Decimal's // rounds towards zero.
            low -= width
        return f"[{_plain(low)}, {_plain(low + width)})"


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        raise ValueError from None
    if not number.is_finite():
        raise ValueError
    return number


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


class Prefix(Form):
    """The first characters of a code; the rest becomes ``*`` each.

    Attributes:
        keep: Characters kept at each level, ever fewer.
    """

    type: Literal["prefix"]
    keep: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    @field_validator("keep")
    @classmethod
    def _fewer(cls, keep: tuple[int, ...]) -> tuple[int, ...]:
        if any(a <= b for a, b in pairwise(keep)):
            msg = "each level must keep fewer characters than the one before"
            raise ValueError(msg)
        return keep

    def levels(self, value: str) -> Sequence[str]:
        """Return the prefixes of a code, then ``*``."""
        kept = (n for n in self.keep if n)
        return (*(value[:n] + TOP * max(len(value) - n, 0) for n in kept), TOP)


class Dates(Form):
    """Dates by day, month and year, then ``*``.

    Attributes:
        levels_by: Which of them, from fine to coarse.
        format: As of ``strptime``; ISO 8601 by default.
    """

    type: Literal["date"]
    levels_by: tuple[Literal["day", "month", "year"], ...] = Field(
        ("day", "month", "year"), alias="levels"
    )
    format: str = ""

    @field_validator("levels_by")
    @classmethod
    def _coarser(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        if list(levels) != [n for n in _DATE_FORMATS if n in levels]:
            msg = "levels go from day over month to year"
            raise ValueError(msg)
        return levels

    def levels(self, value: str) -> Sequence[str]:
        """Return day, month and year of a date."""
        text = value.strip()
        day: date = (
            datetime.strptime(text, self.format)  # noqa: DTZ007  # no clock
            if self.format
            else datetime.fromisoformat(text)
        )
        return (*(day.strftime(_DATE_FORMATS[n]) for n in self.levels_by), TOP)


_DATE_FORMATS = MappingProxyType(
    {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
)


class Rows(Form):
    """Rows as ARX writes them: a value, then what it becomes, level by level.

    Attributes:
        text: The CSV text; ``path``, or ``bucket_name`` and ``file_key``,
            say where it is to be read from instead.
        path: A local file.
        bucket_name: Bucket of an S3 object.
        file_key: Key of an S3 object.
        separator: ARX writes ``;``.
    """

    type: Literal["csv"]
    text: str = ""
    path: str = ""
    bucket_name: str = ""
    file_key: str = ""
    separator: str = Field(";", min_length=1, max_length=1)

    def table(self) -> Mapping[str, Sequence[str]]:
        """Return each value's levels.

        Raises:
            ValueError: Rows differ in length, or one value has two.
        """
        reader = csv.reader(io.StringIO(self.text), delimiter=self.separator)
        found: dict[str, Sequence[str]] = {}
        for number, row in enumerate(filter(None, reader), start=1):
            if found and len(row) != 1 + len(next(iter(found.values()))):
                msg = f"row {number} has {len(row)} fields"
                raise ValueError(msg)
            if row[0] in found:
                msg = f"row {number} repeats a value"
                raise ValueError(msg)
            found[row[0]] = tuple(row[1:])
        if not found:
            msg = "it has no rows"
            raise ValueError(msg)
        return found


AnyForm = Annotated[
    Intervals | Prefix | Dates | Rows, Field(discriminator="type")
]
_FORM: TypeAdapter[Intervals | Prefix | Dates | Rows] = TypeAdapter(AnyForm)
_AGE = Intervals(
    type="intervals",
    widths=tuple(map(Decimal, SIMPL_AGE_WIDTHS)),
    least=Decimal(0),
    below=Decimal(OLDEST),
)


def _top(_: str) -> Sequence[str]:
    return (TOP,)


ANY = Hierarchy("any value or *", _top)
"""For a column that has none: the value, or ``*``."""

BUILT_IN: Mapping[str, Hierarchy] = MappingProxyType(
    {
        "simpl_age": Hierarchy("simpl_age", _AGE.levels),
        "simpl_gender": Hierarchy("simpl_gender", _top),
    }
)


def hierarchy(
    column: str, given: object, read: Callable[[Rows], str]
) -> Hierarchy:
    """Return the hierarchy that a person described.

    Args:
        column: Whose it is.
        given: A name of ``BUILT_IN``, or one of the forms.
        read: Returns the text of rows that lie elsewhere.

    Raises:
        DataError: It is none, or is not well-formed; one line.
    """
    if isinstance(given, str):
        if given in BUILT_IN:
            return BUILT_IN[given]
        msg = (
            f"column {column!r}: there is no hierarchy {given!r}; there are"
            f" {', '.join(BUILT_IN)}"
        )
        raise DataError(msg)
    try:
        form = _FORM.validate_python(given)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, detail["loc"]))
        msg = f"column {column!r}: hierarchy {place}: {detail['msg']}"
        raise DataError(msg) from None
    if not isinstance(form, Rows):
        return Hierarchy(form.type, form.levels)
    return Hierarchy(form.type, _lookup(column, form, read))


def _lookup(
    column: str, form: Rows, read: Callable[[Rows], str]
) -> Generalise:
    whole = form if form.text else form.model_copy(update={"text": read(form)})
    try:
        rows = whole.table()
    except ValueError as error:
        msg = f"column {column!r}: hierarchy: {error}"
        raise DataError(msg) from None

    def levels(value: str) -> Sequence[str]:
        if value not in rows:
            raise ValueError
        return rows[value]

    return levels
