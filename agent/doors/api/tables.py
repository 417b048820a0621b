"""Rows as a table in a file: a Parquet or Arrow body in the place of JSON, bounded before it is unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

PARQUET = "application/vnd.apache.parquet"
ARROW = ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file")
MOST_UNPACKED = 256 * 1024 * 1024
STARTS = {b"PAR1": "parquet", b"ARRO": "file", b"\xff\xff\xff\xff": "stream"}
BODIES: dict[str, Any] = {
    "requestBody": {
        "content": {
            kind: {"schema": {"type": "string", "contentMediaType": kind, "title": "The same rows as a table"}}
            for kind in (PARQUET, *ARROW)
        }
    }
}
"""What a route that takes them adds to its description."""


def rows_of(body: bytes, most: int) -> list[dict[str, Any]]:
    """The rows of a Parquet file, or of an Arrow stream or file: plain values, times as ISO 8601.

    Raises: ValueError for anything else, for more than `most` rows, or for what unpacks to more than 256 MB.
    """
    kind = STARTS.get(body[:4])
    if kind is None:
        raise ValueError("send JSON as `application/json`, or the bytes of a Parquet or Arrow table")
    import pyarrow as pa

    found: list[dict[str, Any]] = []
    unpacked = 0
    try:
        for batch in _batches(body, kind, most):
            unpacked += batch.nbytes
            if len(found) + batch.num_rows > most or unpacked > MOST_UNPACKED:
                raise ValueError(_too_much(most))
            if len(set(batch.schema.names)) < len(batch.schema.names):
                raise ValueError("two columns of this table have one name")
            found += [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"this table cannot be read ({str(error).splitlines()[0][:200] if str(error) else 'damaged'})"
        ) from None
    return found


def _batches(body: bytes, kind: str, most: int) -> Iterator[Any]:
    import pyarrow as pa

    source = pa.py_buffer(body)
    if kind == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(source) as file:
            told = file.metadata
            size = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
            if told.num_rows > most or size > MOST_UNPACKED:
                raise ValueError(_too_much(most))
            yield from file.iter_batches(batch_size=500, use_threads=False)
    elif kind == "file":
        with pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
    else:
        with pa.ipc.open_stream(source) as reader:
            yield from reader


def _too_much(most: int) -> str:
    return f"a table has at most {most:,} rows here, and unpacks to {MOST_UNPACKED // 1024**2} MB at most"


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, float) and value != value else value
