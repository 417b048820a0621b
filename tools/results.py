"""What a tool gives back: data with its window, n, unit and evidence; or that there is no data; or what was wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """`no_data` is never `ok`: nothing seen is not nothing wrong."""

    OK = "ok"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One answer of one tool.

    data: plain JSON. message: why there is no data, or what was wrong and what to do. n: rows (of the log, or of the
    records) that the data rests on. evidence: ids that a claim may cite (`i-…`, `p-…`, `d-…`, `x-…`, `r-…`, and a fact
    of a diagnosis as `d-…/E3`). source: the query that gave it, as a person could type it. next: what to give as
    `cursor` for the rest; None when this is all.
    """

    status: Status
    data: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    window: tuple[datetime, datetime] | None = None
    n: int | None = None
    unit: str = ""
    evidence: tuple[str, ...] = ()
    source: str = ""
    next: str | None = None

    def document(self) -> dict[str, Any]:
        """Plain JSON: times in ISO 8601 UTC, numbers as they are, what is not a number as null. What says nothing is
        left out."""
        plain: dict[str, Any] = {
            "status": str(self.status),
            "data": json_ready(self.data),
            "message": self.message,
            "window": json_ready(self.window),
            "n": self.n,
            "unit": self.unit,
            "evidence": list(self.evidence),
            "source": self.source,
            "next": self.next,
        }
        return {key: value for key, value in plain.items() if key in ("status", "data") or value not in (None, "", [])}


def ok(data: Mapping[str, Any], **about: Any) -> ToolResult:
    """A result with data; `about` are the other fields of `ToolResult`."""
    return ToolResult(Status.OK, dict(data), **about)


def no_data(message: str, data: Mapping[str, Any] | None = None, **about: Any) -> ToolResult:
    """Nothing is known; `message` says why. `data` may say what is known all the same."""
    return ToolResult(Status.NO_DATA, dict(data or {}), message, **about)


def error(message: str, **about: Any) -> ToolResult:
    """It could not be done; `message` names the thing, the rule and the next step."""
    return ToolResult(Status.ERROR, {}, message, **about)


def json_ready(value: Any) -> Any:
    """Plain data as JSON has it.

    >>> json_ready({"at": datetime(2026, 3, 1, tzinfo=UTC), "value": float("nan"), "ids": ("a", "b")})
    {'at': '2026-03-01T00:00:00Z', 'value': None, 'ids': ['a', 'b']}
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if isinstance(value, datetime):
        zoned = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return zoned.isoformat().replace("+00:00", "Z")
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)
