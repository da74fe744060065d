"""Bounds what the framework holds of an object while it profiles it.

The framework reads an object anew for each metric of each column, 100,000
rows at a time whatever their width, and small Parquet files whole, however
well they are compressed. Here each object is read once, in small pieces: its
rows are counted, and a random sample is kept, of which all metrics are made.
"""

# ruff: noqa: SLF001 - the framework offers no other way to bound it

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

CHUNK_ROWS = 5_000
CHUNK_CELLS = 1_000_000
FEWEST_CHUNK_ROWS = 100
"""Rows that are read at a time: fewer where there are many columns, for each
cell of text is an object of some 60 bytes and more."""

MOST_FRAMES = 64
"""Pieces of a sample, before they are joined."""

PAGE_BYTES = 256 * 1024
"""Of each column of a Parquet file that are held at a time."""

MOST_CELLS = 2_000_000
MOST_BYTES = 100_000_000
"""Of a sample, which is copied once while it is profiled."""

SEED = 20_240_229
"""The same object has the same sample."""


@dataclass(frozen=True)
class Sample:
    """Some rows of an object.

    Attributes:
        frames: The rows.
        total: How many the object has.
    """

    frames: "list[DataFrame]"
    total: int


def take(chunks: "Iterable[DataFrame]", most_rows: int) -> Sample:
    """Return a random sample of at most ``most_rows`` rows, and the count.

    Each row is kept with the same chance, which is halved, for the rows that
    are kept too, whenever there are too many. What is held does not grow with
    the object.
    """
    frames: list[DataFrame] = []
    total, kept, held, share = 0, 0, 0, 1.0
    for chunk in chunks:
        most = max(1, min(most_rows, MOST_CELLS // max(1, len(chunk.columns))))
        total += len(chunk)
        part = _part(chunk, share)
        if frames and part.empty:
            continue
        frames.append(part)
        kept, held = kept + len(part), held + _bytes(part)
        if len(frames) > MOST_FRAMES:
            frames = _joined(frames)
        while kept > most or (held > MOST_BYTES and kept):
            share /= 2
            frames = [_part(_joined(frames)[0], 0.5)]
            kept, held = len(frames[0]), _bytes(frames[0])
    return Sample(_joined(frames), total)


def _bytes(frame: "DataFrame") -> int:
    return int(frame.memory_usage(deep=True).sum())


def rows_at_a_time(columns: int) -> int:
    """Return how many rows of so many columns are read at a time."""
    fitting = CHUNK_CELLS // max(1, columns)
    return max(FEWEST_CHUNK_ROWS, min(CHUNK_ROWS, fitting))


def _joined(frames: "list[DataFrame]") -> "list[DataFrame]":
    """Return one frame of many: metrics look at each of them anew."""
    import pandas as pd

    return [pd.concat(frames)] if len(frames) > 1 else frames


def _part(frame: "DataFrame", share: float) -> "DataFrame":
    if share >= 1:
        return frame
    return frame.sample(frac=share, random_state=SEED).sort_index()


def bound_chunks() -> None:
    """Let the framework read objects in small pieces."""
    bound_text()
    _bound_parquet()


def bound_text() -> None:
    """Let text be read in pieces that suit its columns."""
    import pandas as pd

    read = pd.read_csv

    def in_small_pieces(*positional: Any, **named: Any) -> Any:
        reader = read(*positional, **named)
        if named.get("chunksize"):
            reader.chunksize = rows_at_a_time(len(reader._engine.names))
        return reader

    pd.read_csv = in_small_pieces


def _bound_parquet() -> None:
    from metadata.readers.dataframe import parquet
    from pyarrow import parquet as pyarrow_parquet

    class Streamed(pyarrow_parquet.ParquetFile):  # type: ignore[misc]
        """Reads pages as they are needed, not a whole group of rows."""

        def __init__(self, source: Any, **options: Any) -> None:
            super().__init__(
                source, pre_buffer=False, buffer_size=PAGE_BYTES, **options
            )

    pyarrow_parquet.ParquetFile = Streamed
    reader = parquet.ParquetDataFrameReader
    read = reader._read_parquet_in_batches

    def in_small_batches(self: Any, file: Any, **_: Any) -> Iterator[Any]:
        if file.metadata.num_rows == 0:
            # No batch at all would be no table at all.
            return iter([file.read().to_pandas()])
        rows = rows_at_a_time(file.metadata.num_columns)
        return iter(read(self, file, batch_size=rows))

    connect = reader._build_s3fs_filesystem

    def without_cache(self: Any) -> Any:
        # It would fetch 50 MB for each page of each column.
        storage = connect(self)
        storage.default_cache_type = "none"
        return storage

    reader._build_s3fs_filesystem = without_cache
    reader._read_parquet_in_batches = in_small_batches
    reader._should_use_chunking = lambda *_: True


def bound_samples(most_rows: int) -> None:
    """Let the profiler of objects work on a sample of each."""
    from metadata.profiler.interface.pandas.profiler_interface import (
        PandasProfilerInterface,
    )
    from metadata.sampler.pandas.sampler import (
        DatalakeSampler,
    )

    table_metrics = PandasProfilerInterface._compute_table_metrics

    cast = PandasProfilerInterface._type_casted_dataset

    def dataset(self: Any, **_: Any) -> "Callable[[], Iterator[DataFrame]]":
        self.taken = take(self.raw_dataset(), most_rows)
        return lambda: iter(self.taken.frames)

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        found = table_metrics(self, *arguments, **named)
        if found and "rowCount" in found:
            found["rowCount"] = self.sampler.taken.total
        return found

    def cast_once(self: Any, of: Any) -> "Callable[[], Iterator[DataFrame]]":
        # When it is first asked for: the interface is not ready before.
        frames = cache(lambda: list(cast(self, of)()))
        return lambda: iter(frames())

    DatalakeSampler.get_dataset = dataset
    PandasProfilerInterface._type_casted_dataset = cast_once
    PandasProfilerInterface._compute_table_metrics = counted
