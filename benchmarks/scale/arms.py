"""One arm in a process of its own: `ARM DIRECTORY`, on the log there; prints JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from benchmarks.measure import peak_mb
from benchmarks.rows import START, spec_of
from ml.data.bins import BinSet
from ml.results import Window

COLUMNS = 20
HOUR = timedelta(hours=1)
Work = Callable[[], object]


def bins_of(home: Path) -> BinSet:
    return BinSet.from_dict(json.loads((home / "bins.json").read_text()))


def parts(home: Path) -> list[str]:
    return sorted(str(path) for path in (home / "log").rglob("predictions/**/*.parquet"))


def hourly(home: Path) -> Work:
    """The log's profiles by the hour, every column and the answers, inside the engine. The statements are compiled
    before, as they are for every look but the first."""
    from ml.data.prediction_log import PredictionLog
    from ml.data.profile_table import profile_log

    spec, bins, log = spec_of(COLUMNS), bins_of(home), PredictionLog(home / "log")
    start = time.perf_counter()
    profile_log(log, spec, Window(START, START + HOUR), bins)
    extra["first_statements"] = time.perf_counter() - start
    return lambda: profile_log(log, spec, None, bins)


def kept(home: Path) -> Work:
    """The next look: the same window an hour later, its other hours kept from the look before."""
    from ml.data.hourly import profile_windows
    from ml.data.prediction_log import PredictionLog

    spec, bins, log = spec_of(COLUMNS), bins_of(home), PredictionLog(home / "log")
    span = log.span(spec)
    assert span is not None
    window = Window(span.start, span.end - HOUR)
    before = profile_windows(log, spec, [window], bins).hours
    return lambda: profile_windows(log, spec, [Window(span.start + HOUR, span.end)], bins, kept=before)


def histogram(home: Path) -> Work:
    """DuckDB's own `histogram(x, edges)` and counts by level, over the whole: no hours, no sums, no extremes."""
    import duckdb

    bins, connection = bins_of(home), duckdb.connect()
    files = ", ".join(f"'{path}'" for path in parts(home))

    def count() -> None:
        for column in bins.columns:
            if column.is_categorical:
                query = f'SELECT "{column.name}", count(*) FROM read_parquet([{files}]) GROUP BY 1'
            else:
                query = f'SELECT histogram("{column.name}", {list(column.edges)}) FROM read_parquet([{files}])'
            connection.sql(query).fetchall()

    return count


def numpy(home: Path) -> Work:
    """Plain NumPy, one thread: read batches with Arrow, compare with the stored edges and count. Numbers only."""
    import pyarrow.parquet as pq

    numbers = [column for column in bins_of(home).columns if not column.is_categorical]

    def count() -> None:
        for path in parts(home):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(32_768, columns=[column.name for column in numbers], use_threads=False):
                    for column, values in zip(numbers, batch.columns, strict=True):
                        block = values.to_numpy(zero_copy_only=False)
                        for edge in column.edges:
                            np.count_nonzero(block <= edge)

    return count


def read(home: Path) -> Work:
    """The bound: every value read with Arrow by batches, and nothing done with it."""
    import pyarrow.parquet as pq

    names = [column.name for column in bins_of(home).columns]

    def run() -> None:
        for path in parts(home):
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches(32_768, columns=names):
                    pass

    return run


ARMS = {"hourly": hourly, "kept": kept, "histogram": histogram, "numpy": numpy, "read": read}
extra: dict[str, float] = {}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    work = ARMS[sys.argv[1]](Path(sys.argv[2]))
    before = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    work()
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(took | {"peak_mb": peak_mb(), "before_mb": before} | extra))
