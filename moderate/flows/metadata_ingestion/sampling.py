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
PAGE_BYTES = 256 * 1024
"""Of each column of a Parquet file that are held at a time."""

MOST_CELLS = 2_000_000
"""Of a sample: some 100 to 200 MB where they are text."""

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
    are kept too, whenever there are too many.
    """
    frames: list[DataFrame] = []
    total, share = 0, 1.0
    for chunk in chunks:
        most = min(most_rows, MOST_CELLS // max(1, len(chunk.columns)))
        total += len(chunk)
        frames.append(_part(chunk, share))
        while share and sum(map(len, frames)) > max(1, most):
            share /= 2
            frames = [_part(frame, 0.5) for frame in frames]
    return Sample(frames, total)


def _part(frame: "DataFrame", share: float) -> "DataFrame":
    if share >= 1:
        return frame
    return frame.sample(frac=share, random_state=SEED).sort_index()


def bound_chunks() -> None:
    """Let the framework read objects in small pieces."""
    from metadata.readers.dataframe import dsv, parquet
    from pyarrow import parquet as pyarrow_parquet

    class Streamed(pyarrow_parquet.ParquetFile):  # type: ignore[misc]
        """Reads pages as they are needed, not a whole group of rows."""

        def __init__(self, source: Any, **options: Any) -> None:
            super().__init__(
                source, pre_buffer=False, buffer_size=PAGE_BYTES, **options
            )

    pyarrow_parquet.ParquetFile = Streamed
    dsv.CHUNKSIZE = CHUNK_ROWS
    reader = parquet.ParquetDataFrameReader
    read = reader._read_parquet_in_batches

    def in_small_batches(self: Any, file: Any, **_: Any) -> Iterator[Any]:
        if file.metadata.num_rows == 0:
            # No batch at all would be no table at all.
            return iter([file.read().to_pandas()])
        return iter(read(self, file, batch_size=CHUNK_ROWS))

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
