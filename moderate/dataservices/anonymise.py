"""k-anonymity, l-diversity and t-closeness of a table.

The rows are read twice: once as codes, for the search, and once to write
what it found. The output is then read by ``guarantee``, and is deleted if it
holds less than was asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from moderate.dataservices import guarantee
from moderate.dataservices.columns import refuse_overlap, resolve
from moderate.dataservices.encoding import Codes, Mask, combine, encode
from moderate.dataservices.errors import DataError
from moderate.dataservices.guarantee import IDENTIFIER_MASK, Reached
from moderate.dataservices.hierarchies import Hierarchy, Level, levels_of
from moderate.dataservices.hierarchy_forms import ANY, Rows, hierarchy
from moderate.dataservices.lattice import Found, Groups, Search
from moderate.dataservices.measures import Risk, risk
from moderate.dataservices.output import replace_columns, writing
from moderate.dataservices.requests import Measure, NullRule, Request
from moderate.dataservices.rules import (
    Distance,
    KAnonymity,
    LDiversity,
    Rule,
    TCloseness,
    allowed,
)
from moderate.dataservices.tables import Table


@dataclass(frozen=True)
class Report:
    """What was reached, what it cost, and what risk remains.

    Attributes:
        rows: Of the input.
        suppressed: Rows that are not in the output.
        levels: Level of each quasi-identifier's hierarchy, and its highest.
        loss: Information lost, 0 to 1: the mean over all cells of the
            quasi-identifiers, 1 for each of a suppressed row (Iyengar 2002).
        reached: What the check of the output found.
        risk: Of the output.
        ordered: Whether distances were those of numbers.
        looked_at: Nodes that the search evaluated.
        notes: What a person should know.
    """

    rows: int
    suppressed: int
    levels: dict[str, tuple[int, int]]
    loss: float
    reached: Reached
    risk: Risk
    ordered: bool
    looked_at: int
    notes: tuple[str, ...] = ()

    @property
    def suppression_rate(self) -> float:
        """Share of the rows that is not in the output."""
        return self.suppressed / self.rows


def refuse_remote(form: Rows) -> str:
    """Read a hierarchy's rows from a local file; nothing else is known here.

    Raises:
        DataError: It has no path, or can't be read.
    """
    try:
        return Path(form.path).read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"hierarchy: {form.path!r} can't be read: {error.strerror}"
        raise DataError(msg) from None


def anonymise(
    table: Table,
    request: Request,
    path: Path,
    read: Any = refuse_remote,
) -> tuple[Table, Report]:
    """Write the table that guarantees what was asked for, at least loss.

    Args:
        table: The input.
        request: What is asked for.
        path: Where the output goes; not there if anything is raised.
        read: Returns the text of a hierarchy that lies elsewhere.

    Raises:
        DataError: The input or the request is wrong, or can't be met.
        GuaranteeError: The check of the output failed.
    """
    asked = _resolved(table, request)
    work = _Work(table, asked, _hierarchies(asked, read))
    found, search = work.search()
    output = work.write(found, path)
    try:
        reached = _checked(output, asked, ordered=work.ordered)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    report = Report(
        rows=work.rows,
        suppressed=found.suppressed,
        levels={
            column.name: (level, len(levels) - 1)
            for column, level, levels in zip(
                work.columns, found.node, work.levels, strict=True
            )
        },
        loss=found.loss,
        reached=reached,
        risk=risk(reached.sizes, asked.sampling),
        ordered=work.ordered,
        looked_at=search.looked_at,
        notes=(*_taken(request, asked), *work.notes()),
    )
    return output, report


def _resolved(table: Table, request: Request) -> Request:
    """Return the request with the names as the table spells them."""

    def names(
        wanted: Sequence[str], *, ignore_case: bool = False
    ) -> tuple[str, ...]:
        ignore_case |= request.ignore_case
        return resolve(wanted, table.columns, ignore_case=ignore_case)

    ident = names(request.ident, ignore_case=request.ignore_ident_case)
    sensitive = names(request.sensitive)
    quasi = names(request.quasi_identifiers)
    refuse_overlap(ident=ident, quasi_identifier=quasi, sensitive=sensitive)
    given = dict(
        zip(
            names(list(request.hierarchies)),
            request.hierarchies.values(),
            strict=True,
        )
    )
    if stray := set(given) - set(quasi):
        msg = (
            f"column {min(stray)!r} has a hierarchy but is no quasi-identifier"
        )
        raise DataError(msg)
    return replace(
        request,
        ident=ident,
        quasi_identifiers=quasi,
        sensitive=sensitive,
        hierarchies=given,
    )


def _taken(request: Request, resolved: Request) -> Iterator[str]:
    """Yield which columns to mask were named by another case."""
    for named, column in zip(request.ident, resolved.ident, strict=True):
        if named != column:
            yield f"ident {named!r} is taken for column {column!r}"


def _hierarchies(request: Request, read: Any) -> tuple[Hierarchy, ...]:
    given = request.hierarchies
    return tuple(
        hierarchy(name, given[name], read) if name in given else ANY
        for name in request.quasi_identifiers
    )


class _Work:
    """One table on its way; codes are read when it is made."""

    def __init__(
        self, table: Table, request: Request, forms: Sequence[Hierarchy]
    ) -> None:
        self._table = table
        self._request = request
        names = (*request.quasi_identifiers, *request.sensitive[:1])
        encoded = encode(table, names)
        self.columns = encoded[: len(request.quasi_identifiers)]
        self._sensitive = next(iter(encoded[len(self.columns) :]), None)
        self.rows = len(self.columns[0].codes)
        self._refuse_what_cannot_be()
        self._kept = self._rows_kept()
        self.levels = tuple(map(levels_of, self.columns, forms))
        self.ordered = self._is_ordered()
        self._groups, self._inverse = self._grouped()

    def _refuse_what_cannot_be(self) -> None:
        request = self._request
        if not self.rows:
            msg = "the file has no rows"
            raise DataError(msg)
        if request.k > self.rows:
            msg = f"k is {request.k}, but there are {self.rows} rows"
            raise DataError(msg)
        if self._sensitive is None or not _needs_values(request):
            return
        values, name = len(self._sensitive.values), self._sensitive.name
        if values == 1:
            msg = f"column {name!r} has one value: there is nothing to protect"
            raise DataError(msg)
        if request.l_value is not None and request.l_value > values:
            msg = f"l is {request.l_value:g}: column {name!r} has {values}"
            raise DataError(f"{msg} values")

    def notes(self) -> Iterator[str]:
        """Yield what a person should know about the input."""
        if (one := self._sensitive) and len(one.values) == 1:
            yield f"column {one.name!r} has one value: it is known of all"
        for column in self.columns:
            if nulls := int(column.is_null.sum()):
                rule = self._request.nulls
                yield f"column {column.name!r} has {nulls} nulls: {rule}"

    def _rows_kept(self) -> Mask:
        """Say which rows the search may use, by the rule for nulls."""
        kept = np.ones(self.rows, dtype=np.bool_)
        if self._request.nulls is NullRule.OWN_CLASS:
            return kept
        for column in self.columns:
            missing = column.is_null
            if missing.any() and self._request.nulls is NullRule.REFUSE:
                row = int(np.argmax(missing)) + 1
                msg = f"column {column.name!r}, row {row}: no value"
                raise DataError(msg)
            kept &= ~missing
        return kept

    def _is_ordered(self) -> bool:
        if self._request.t is None or self._sensitive is None:
            return False
        if self._request.measure is Measure.EQUAL:
            return False
        if all(map(_is_number, self._sensitive.values)):
            return True
        if self._request.measure is Measure.ORDERED:
            wrong = [not _is_number(v) for v in self._sensitive.values]
            row = int(np.argmax(np.array(wrong)[self._sensitive.codes])) + 1
            msg = f"column {self._sensitive.name!r}, row {row}: no number"
            raise DataError(msg)
        return False

    def _rule(self) -> Rule:
        request = self._request
        if request.l_value is not None:
            return LDiversity(request.k, request.l_value, request.diversity)
        if request.t is None or self._sensitive is None:
            return KAnonymity(request.k)
        values = self._sensitive.values
        if not self.ordered:
            same = np.arange(len(values), dtype=np.int32)
            return TCloseness(request.k, request.t, Distance.EQUAL, same)
        numbers = [float(value or 0) for value in values]
        _, rank = np.unique(numbers, return_inverse=True)
        ranks: Codes = rank.astype(np.int32)
        return TCloseness(request.k, request.t, Distance.ORDERED, ranks)

    def _grouped(self) -> tuple[Groups, Codes]:
        """Return the groups of the rows kept, and each such row's group."""
        sensitive = self._sensitive if _needs_values(self._request) else None
        columns = (*self.columns, *([sensitive] if sensitive else []))
        codes = [column.codes[self._kept] for column in columns]
        sizes = [len(column.values) for column in columns]
        kept = int(self._kept.sum())
        inverse, count = combine(codes, sizes, kept)
        first = np.zeros(count, dtype=np.int64)
        first[inverse[::-1]] = np.arange(kept)[::-1]
        groups = Groups(
            tuple(each[first] for each in codes[: len(self.columns)]),
            np.bincount(inverse, minlength=count).astype(np.int64),
            codes[-1][first] if sensitive else None,
            removed=self.rows - kept,
        )
        return groups, inverse.astype(np.int32)

    def search(self) -> tuple[Found, Search]:
        """Return the best generalisation.

        Raises:
            DataError: There is none; says what would help.
        """
        limit = allowed(self._request.limit, self.rows)
        groups = self._groups
        search = Search(groups, self.levels, self._rule(), limit)
        found = search.best() if len(groups.counts) else None
        if found is None:
            raise DataError(self._impossible(limit, groups.removed))
        return found, search

    def _impossible(self, limit: int, removed: int) -> str:
        request = self._request
        wanted = [f"k = {request.k}"]
        if request.l_value is not None:
            wanted.append(f"l = {request.l_value:g}")
        if request.t is not None:
            wanted.append(f"t = {request.t:g}")
        why = f"{', '.join(wanted)} can't be reached, even at the highest"
        hint = f" levels, by suppressing {limit} of {self.rows} rows at most"
        nulls = f"; {removed} rows with nulls count" if removed else ""
        own = [note for note in self.notes() if NullRule.OWN_CLASS in note]
        return "; ".join([why + hint + nulls, *own])

    def write(self, found: Found, path: Path) -> Table:
        """Write the rows that stay, generalised."""
        chosen = [lv[i] for lv, i in zip(self.levels, found.node, strict=True)]
        stays = self._kept.copy()
        stays[self._kept] = ~found.gone[self._inverse]
        labels = [pa.array(each.labels, pa.string()) for each in chosen]
        request = self._request
        touched = (*request.ident, *request.quasi_identifiers)
        schema = pa.schema(
            [
                pa.field(f.name, pa.string()) if f.name in touched else f
                for f in self._table.schema()
            ]
        )
        start = 0
        with writing(path, self._table, schema) as writer:
            for batch in self._table.batches():
                rows = slice(start, start + batch.num_rows)
                start = rows.stop
                writer.write(
                    self._generalised(batch, rows, chosen, labels, stays)
                )
        return self._table.at(path, safe=touched)

    def _generalised(
        self,
        batch: pa.RecordBatch,
        rows: slice,
        chosen: Sequence[Level],
        labels: Sequence[pa.Array],
        stays: Mask,
    ) -> pa.RecordBatch:
        masked = pa.repeat(IDENTIFIER_MASK, batch.num_rows)
        columns = dict.fromkeys(self._request.ident, masked)
        for column, level, texts in zip(
            self.columns, chosen, labels, strict=True
        ):
            codes = level.codes[column.codes[rows]]
            columns[column.name] = texts.take(pa.array(codes))
        changed = replace_columns(batch, columns)
        if stays[rows].all():
            return changed
        return changed.filter(pa.array(stays[rows]))


def _needs_values(request: Request) -> bool:
    return request.l_value is not None or request.t is not None


def _is_number(value: str | None) -> bool:
    try:
        return value is not None and np.isfinite(float(value))
    except ValueError:
        return False


def _checked(output: Table, request: Request, *, ordered: bool) -> Reached:
    sensitive = request.sensitive[0] if _needs_values(request) else None
    reached = guarantee.measure(
        output, request.quasi_identifiers, sensitive, ordered=ordered
    )
    guarantee.require(reached, request.demand)
    guarantee.require_masked(output, request.ident)
    return reached
