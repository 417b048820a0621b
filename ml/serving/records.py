"""The form of the journal: what one record holds, how records lie in a segment file, and how to find them again.

    record  = marker (8 bytes) + length of the payload (4) + checksum over length and payload (4) + payload
    segment = records; its file is named by its position, the count of all bytes of the folder before it

The marker is the folder's own, derived from its random name: a caller cannot know it, so that no text in a request can
pass for a record when a damaged stretch is searched for the next one.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

HEAD = struct.Struct("<8sII")
PREDICTIONS, LABELS = 1, 2
CHUNK = 10_000  # rows a record: one record fits in memory easily, whatever a request holds
PACKED = 8  # from so many rows on a column of numbers is kept as its bytes
SUFFIX = ".segment"


@dataclass(frozen=True, slots=True)
class Served:
    """A record of answers. columns: feature -> values, or the bytes of float64 values, or where the record is `single`
    its one value. at: microseconds since 1970."""

    model: str
    route: str
    version: str
    at: int
    latency: float
    ids: list[str]
    columns: Mapping[str, Any]
    predictions: list[Any]
    scores: list[float | None]
    single: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """A record of labels. times: when each became known (ISO 8601), None where it counts as known at `at`."""

    model: str
    at: int
    ids: list[str]
    labels: list[Any]
    times: list[str | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A record in a segment. end: the position just after it."""

    end: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record. torn: at the end of what a process wrote as it died, which is nothing that was
    answered; else something has changed the file since."""

    segment: Path
    start: int
    end: int
    torn: bool


class Encoder:
    """Makes records of one folder, as the pieces to write one after the other. Not for two threads at once."""

    def __init__(self, folder: str) -> None:
        self._marker = marker(folder)
        self._pack = msgpack.Packer(default=_plain, unicode_errors="replace").pack

    def served(
        self,
        model: str,
        route: str,
        version: str,
        at: int,
        latency: float,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[Any]],
        predictions: Sequence[Any],
        scores: Sequence[float | None],
    ) -> list[bytes]:
        """The rows of one request, in as many records as they need."""
        if len(ids) == 1:
            values: Any = {name: column[0] for name, column in columns.items()}
            record = (PREDICTIONS, model, route, version, at, latency, ids[0], values, *predictions, *scores)
            return [b"".join(self._framed(record))]
        pieces: list[bytes] = []
        for start in range(0, len(ids), CHUNK):
            part = slice(start, start + CHUNK)
            values = {name: _column(column[part]) for name, column in columns.items()}
            answers = (_listed(predictions[part]), _listed(scores[part]))
            pieces += self._framed(
                (PREDICTIONS, model, route, version, at, latency, _listed(ids[part]), values, *answers)
            )
        return pieces

    def labels(
        self, model: str, at: int, ids: Sequence[str], labels: Sequence[Any], times: Sequence[str | None]
    ) -> list[bytes]:
        pieces: list[bytes] = []
        for start in range(0, len(ids), CHUNK):
            parts = (_listed(values[start : start + CHUNK]) for values in (ids, labels, times))
            pieces += self._framed((LABELS, model, at, *parts))
        return pieces

    def _framed(self, content: tuple[Any, ...]) -> tuple[bytes, bytes]:
        payload: bytes = self._pack(content)
        length = len(payload)
        return HEAD.pack(self._marker, length, zlib.crc32(payload, length)), payload


def decode(payload: bytes) -> Served | Labelled:
    """What a record holds. Raises: ValueError for a payload of another form (a newer version's)."""
    content = msgpack.unpackb(payload)
    if content[0] == LABELS and len(content) == 6:
        return Labelled(*content[1:])
    if content[0] != PREDICTIONS or len(content) != 10:
        raise ValueError(f"a record of kind {content[0]!r} with {len(content)} parts")
    _, model, route, version, at, latency, ids, columns, predictions, scores = content
    if isinstance(ids, str):
        return Served(model, route, version, at, latency, [ids], columns, [predictions], [scores], single=True)
    return Served(model, route, version, at, latency, ids, columns, predictions, scores)


def marker(folder: str) -> bytes:
    return hashlib.blake2b(folder.encode(), digest_size=8).digest()


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segment files of a folder with their positions, in order; none where there is no such folder."""
    try:
        found = [path for path in folder.iterdir() if path.suffix == SUFFIX and path.stem.isdecimal()]
    except FileNotFoundError:
        return []
    return sorted((int(path.stem), path) for path in found)


def segment_name(position: int) -> str:
    return f"{position:020d}{SUFFIX}"


def scan(folder: Path, start: int, *, live: bool) -> Iterator[Found | Damage]:
    """The records of a folder from a position on, and the stretches that are none.

    live: something may be writing at the end, where half a record is not damage but one to wait for.
    """
    mark = marker(folder.name)
    files = segments(folder)
    for at, (base, path) in enumerate(files):
        last = at + 1 == len(files)
        if not last and files[at + 1][0] <= start:
            continue
        try:
            data = _read(path, max(start - base, 0))
        except FileNotFoundError:
            continue
        yield from _records(data, max(start, base), mark, path, waits=live and last)


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def _records(data: bytes, start: int, mark: bytes, path: Path, *, waits: bool) -> Iterator[Found | Damage]:
    at = 0
    while at < len(data):
        end = _end_of(data, at, mark)
        if end is not None:
            yield Found(start + end, data[at + HEAD.size : end])
            at = end
            continue
        following = data.find(mark, at + 1)
        while following >= 0 and _end_of(data, following, mark) is None:
            following = data.find(mark, following + 1)
        if following < 0:
            if not waits:
                yield Damage(path, start + at, start + len(data), torn=True)
            return
        yield Damage(path, start + at, start + following, torn=False)
        at = following


def _end_of(data: bytes, at: int, mark: bytes) -> int | None:
    """Where the record at `at` ends; None if there is no whole one."""
    if len(data) - at < HEAD.size:
        return None
    found, length, checksum = HEAD.unpack_from(data, at)
    end = at + HEAD.size + length
    if found != mark or end > len(data) or zlib.crc32(memoryview(data)[at + HEAD.size : end], length) != checksum:
        return None
    return int(end)


def _column(values: Any) -> Any:
    if len(values) >= PACKED and type(values[0]) is float:
        try:
            return array("d", values).tobytes()
        except TypeError:  # something among them is no number
            return list(values)
    if hasattr(values, "dtype"):
        return values.tobytes() if values.dtype == "float64" and len(values) >= PACKED else values.tolist()
    return _listed(values)


def _listed(values: Any) -> list[Any]:
    """A column may be an array of numpy's."""
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _plain(value: Any) -> Any:
    """A scalar of numpy's as Python's own; anything else as its text."""
    return value.item() if hasattr(value, "item") else str(value)
