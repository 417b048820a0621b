"""Bodies of jobs, read part by part, so that a file may be larger than memory.

CSV, JSON lines and Parquet are read as they come; the forms of MLflow's scoring protocol are one JSON document, which
has to be read whole, and may be no longer than `MOST_JSON`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from ml.serving import inputs
from ml.serving.inputs import Table
from ml.serving.problems import Fault, Refused, refuse_rows
from ml.serving.protocols import scoring

CSV, LINES, JSON = "text/csv", "application/x-ndjson", "application/json"
PARQUET = "application/vnd.apache.parquet"
KINDS = (CSV, LINES, JSON, PARQUET)
MOST_JSON = 64 * 1024 * 1024
ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a body; share: how much of the body is read with them."""

    table: Table
    share: float


def kind_of(content_type: str) -> str:
    """Raises: Refused (415)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise Refused(415, "unsupported media type", f"A job is sent as {', '.join(KINDS)}, not as {kind[:60]!r}.")
    return kind


def read_parts(path: Path, content_type: str, order: Sequence[str], rows: int = ROWS) -> Iterator[Part]:
    """The rows of a body, in order, at most `rows` at a time. Raises: Refused naming the row."""
    kind = kind_of(content_type)
    if kind == CSV:
        yield from _csv(path, rows)
    elif kind == LINES:
        yield from _lines(path, rows)
    elif kind == PARQUET:
        yield from _parquet(path, rows)
    else:
        yield from _document(path, order, rows)


def _csv(path: Path, rows: int) -> Iterator[Part]:
    size = max(path.stat().st_size, 1)
    before = 0
    with path.open("rb") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, "utf-8-sig", newline=""), strict=True)
        try:
            names = next(lines, [])
            while taken := list(islice(lines, rows)):
                part = [row for row in taken if row]
                wrong = next((number for number, row in enumerate(part) if len(row) != len(names)), None)
                if wrong is not None:
                    what = f"has {len(part[wrong])} values and the header has {len(names)}; every line needs as many."
                    raise refuse_rows([Fault("shape", what, row=before + wrong)])
                yield Part(inputs.from_rows(names, part), min(raw.tell() / size, 1.0))
                before += len(part)
        except UnicodeDecodeError:
            raise Refused(400, "not csv", "The body is not text in UTF-8.") from None
        except csv.Error as error:
            raise Refused(400, "not csv", f"The body cannot be read as CSV: {str(error)[:200]}.") from None


def _lines(path: Path, rows: int) -> Iterator[Part]:
    size = max(path.stat().st_size, 1)
    before = 0
    with path.open("rb") as raw:
        while taken := list(islice(raw, rows)):
            part = [line for line in taken if line.strip()]
            records = []
            for number, line in enumerate(part, before):
                try:
                    records.append(inputs.read_json(line))
                except Refused as error:
                    raise refuse_rows([Fault("not json", f"is no line of JSON: {error.detail}", row=number)]) from None
            yield Part(inputs.from_records(records), min(raw.tell() / size, 1.0))
            before += len(part)


def _parquet(path: Path, rows: int) -> Iterator[Part]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            total, done = max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(rows):
                done += batch.num_rows
                columns = {name: [_plain(v) for v in batch.column(name).to_pylist()] for name in batch.schema.names}
                yield Part(Table(columns, batch.num_rows), done / total)
    except (pa.ArrowException, OSError) as error:
        raise Refused(400, "not parquet", f"The body cannot be read as Parquet: {str(error)[:200]}.") from None


def _plain(value: Any) -> Any:
    """Times as text; everything else is checked with the columns."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _document(path: Path, order: Sequence[str], rows: int) -> Iterator[Part]:
    if path.stat().st_size > MOST_JSON:
        most = MOST_JSON // 1024**2
        raise Refused(413, "too long", f"A JSON document may have {most} MB; send {CSV}, {LINES} or {PARQUET} instead.")
    table = scoring.parse(path.read_bytes(), JSON, order, most_rows=1 << 40)
    for start in range(0, table.count, rows):
        stop = min(start + rows, table.count)
        columns = {name: values[start:stop] for name, values in table.columns.items()}
        yield Part(Table(columns, stop - start), stop / table.count)


def to_csv(lines: bytes, *, header: bool) -> bytes:
    """Whole lines of a result as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(("prediction_id", "prediction", "score"))
    for line in lines.splitlines():
        row = orjson.loads(line)
        writer.writerow((row["prediction_id"], row["prediction"], row.get("score", "")))
    return out.getvalue().encode()
