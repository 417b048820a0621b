"""From what was found to a result: status, evidence, and a size that a model can read; the rest is on the next page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from tools.context import Found, Item
from tools.results import Status, ToolResult, json_ready

MOST_BYTES = 20_000
"""Of one result as JSON."""
LONGEST_TEXT, LONGEST_LIST = 1200, 40
MOST_EVIDENCE = 100


def answer(found: Found, source: str) -> ToolResult:
    """The result of what was found, with as many of its items as fit; `next` is where the rest begins."""
    if found.missing:
        return _result(found, [], source, more=False)
    if found.shape is None:
        whole = _result(found, [], source, more=False)
        return whole if _bytes(whole) <= MOST_BYTES else _shortened(whole)
    items = list(found.items)
    low, high = 0, len(items)  # the most items that fit: size grows with each
    while low < high:
        middle = (low + high + 1) // 2
        fits = _bytes(_result(found, items[:middle], source, more=True)) <= MOST_BYTES
        low, high = (middle, high) if fits else (low, middle - 1)
    if low == 0 and items:  # one entry is too long by itself
        first = Item(_cut(items[0].data), items[0].cursor, items[0].evidence)
        return _shortened(_result(found, [first], source, more=found.more or len(items) > 1))
    return _result(found, items[:low], source, more=found.more or low < len(items))


def _result(found: Found, items: Sequence[Item], source: str, *, more: bool) -> ToolResult:
    data = found.data if found.shape is None else {**found.shape([item.data for item in items]), **found.data}
    cited = dict.fromkeys([*found.evidence, *(one for item in items for one in item.evidence)])
    return ToolResult(
        Status.NO_DATA if found.missing else Status.OK,
        json_ready(data),
        found.missing,
        found.window,
        found.n,
        found.unit,
        tuple(cited)[:MOST_EVIDENCE],
        source,
        items[-1].cursor if more and items else None,
    )


def _bytes(result: ToolResult) -> int:
    return len(json.dumps(result.document(), ensure_ascii=False).encode("utf-8", "replace"))


def _shortened(result: ToolResult) -> ToolResult:
    """The same with long texts and lists cut, each saying so, harder and harder until it fits."""
    text, entries = LONGEST_TEXT, LONGEST_LIST
    while _bytes(result) > MOST_BYTES and text > 20:
        result = ToolResult(
            result.status, _cut(result.data, text, entries), result.message, result.window, result.n, result.unit,
            result.evidence, result.source, result.next,
        )  # fmt: skip
        text, entries = text // 2, max(entries // 2, 1)
    return result


def _cut(value: Any, text: int = LONGEST_TEXT, entries: int = LONGEST_LIST) -> Any:
    """Plain data with long texts and lists cut; how much is missing stands in their place."""
    if isinstance(value, dict):
        kept = {str(key)[:200]: _cut(item, text, entries) for key, item in list(value.items())[: 4 * entries]}
        return kept if len(kept) == len(value) else {**kept, "cut": f"{len(value) - len(kept)} more entries"}
    if isinstance(value, list):
        more = len(value) - entries
        return [_cut(item, text, entries) for item in value[:entries]] + ([f"(cut: {more} more)"] if more > 0 else [])
    if isinstance(value, str) and len(value) > text + 40:
        return f"{value[:text]} (cut: {len(value) - text} more characters)"
    return value


def query(path: str, **given: str | datetime | None) -> str:
    """A read of the JSON API as a person could type it.

    >>> query("/api/v1/models/churn/measurements", monitor="drift", feature=None)
    'GET /api/v1/models/churn/measurements?monitor=drift'
    """
    said = {key: json_ready(value) for key, value in given.items() if value is not None}
    return f"GET {quote(path)}" + (f"?{urlencode(said)}" if said else "")
