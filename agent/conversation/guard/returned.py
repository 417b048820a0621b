"""What the tools returned, laid out for checking: every number, time and word with what it belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.conversation.guard import quantities
from agent.conversation.guard.moments import parse_iso
from tools.results import ToolResult

ID = re.compile(r"(?<![\w-])([a-z]-[0-9a-z]{4,16})(?:/(E\d{1,4}))?(?![\w-])")
METRICS = frozenset(
    [
        "accuracy",
        "auc",
        "roc_auc",
        "f1",
        "precision",
        "recall",
        "log_loss",
        "logloss",
        "brier",
        "mae",
        "mse",
        "rmse",
        "mape",
        "r2",
        "ece",
        "balanced_accuracy",
        "average_precision",
        "psi",
        "ks",
        "js",
        "wasserstein",
        "jensen_shannon",
        "null_share",
    ]
)
# What tells one thing from another: key in a result -> what it names.
_NAMING = {
    "model": "model", "feature": "feature", "features": "feature", "monitor": "monitor", "metric": "metric",
    "version": "version", "segment": "segment", "cause": "cause", "name": "name",
}  # fmt: skip
_PEOPLE = frozenset(("person", "requested_by", "owner", "may_decide", "actor", "frozen_by", "approved_by", "by"))
_VERSIONS = frozenset(("version", "to_version", "expected_version", "champion", "parent", "from_version", "compare"))
# Sentences that our own code writes from figures. Other text may be quoted, as a quotation; it proves no number.
OURS = frozenset(("statement", "detail", "message", "meaning"))
_OUR_TITLE = re.compile(rf"(?:{'|'.join(METRICS)}) [\d.]+ on \d+ labelled rows\b.{{0,80}}")


@dataclass(frozen=True, eq=False)
class Holder:
    """One mapping in a result: its fields, what it is called, and what it stands in."""

    fields: Mapping[str, Any]
    names: Mapping[str, frozenset[str]]
    above: Holder | None
    listed: str = ""
    place: int = 0
    siblings: list[Holder] = field(default_factory=list)

    def number(self, *keys: str) -> float | None:
        """The first of these fields that is a number."""
        for key in keys:
            value = self.fields.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
        return None

    def found(self, key: str) -> Any:
        """A field of this mapping, or of the ones it stands in."""
        holder: Holder | None = self
        while holder is not None:
            if holder.fields.get(key) is not None:
                return holder.fields[key]
            holder = holder.above
        return None

    def time(self) -> datetime | None:
        """When it was: the end of its window, or its moment."""
        for key in ("window_end", "at", "created_at", "opened_at", "started_at"):
            if (found := parse_iso(self.fields.get(key))) is not None:
                return found
        return None

    def called(self, kind: str) -> frozenset[str]:
        return self.names.get(kind, frozenset())


@dataclass(frozen=True, eq=False)
class Fact:
    """A number that was returned. `role` is what the number says of its holder: value, n, threshold, low, high …"""

    value: float
    key: str
    role: str
    unit: str
    holder: Holder
    names: Mapping[str, frozenset[str]]
    written: bool = False  # stands in a sentence of ours

    def called(self, kind: str) -> frozenset[str]:
        return self.names.get(kind, frozenset())


@dataclass(frozen=True, eq=False)
class Moment:
    """A time that was returned."""

    at: datetime
    key: str
    holder: Holder


@dataclass
class Returned:
    """Everything the tools returned for one answer."""

    holders: list[Holder] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    spans: list[tuple[timedelta, Holder | None]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)  # kind -> names
    ids: set[str] = field(default_factory=set)
    lists: dict[str, list[Holder]] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)


_ROLES = {
    "value": "value", "score": "value", "low": "low", "high": "high", "threshold": "threshold", "limit": "threshold",
    "tolerance": "tolerance", "n": "n", "rows": "n", "labels": "n", "labelled_rows": "n", "count": "n",
    "probability": "probability", "percent": "probability", "similarity": "similarity", "before": "before",
    "after": "after", "do_nothing": "before", "overall": "overall", "difference": "difference", "gain": "difference",
    "delta": "difference",
}  # fmt: skip


def gather(results: Sequence[ToolResult]) -> Returned:
    """Lay out what these results hold."""
    found = Returned()
    known = _model_names(results)
    for result in results:
        spoken = f"{result.source} {' '.join(result.evidence)}"
        subject = {"model": frozenset(name for name in known if re.search(_whole(name), spoken))} if known else {}
        top = Holder(dict(result.data), {k: v for k, v in subject.items() if len(v) == 1}, None)
        _walk(found, top, top.fields, result.unit)
        for text in (*result.evidence, result.source, result.message):
            _text(found, text, top, numbers=text is result.message, key="message")
        if result.window is not None:
            start, end = result.window
            found.moments += [Moment(_aware(start), "window_start", top), Moment(_aware(end), "window_end", top)]
            found.spans.append((end - start, None))
        if isinstance(result.n, int):
            found.facts.append(Fact(float(result.n), "n", "n", "", top, top.names))
        if result.next:
            found.paged |= {key for key, value in result.data.items() if isinstance(value, list)}
    return found


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"


def _model_names(results: Sequence[ToolResult]) -> set[str]:
    found: set[str] = set()

    def walk(value: Any, key: str = "") -> None:
        if isinstance(value, Mapping):
            for name, item in value.items():
                if isinstance(item, str) and (name == "model" or (name == "name" and key == "models")):
                    found.add(item)
                walk(item, str(name))
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item, key)

    for result in results:
        walk(result.data)
        for found_in in re.finditer(r"/models/([\w.-]+)|watchkeeper \w+(?: \w+)? ([a-z][\w.-]*)", result.source):
            name = found_in[1] or found_in[2]
            if name and ("-" in name or found_in[1]) and not ID.fullmatch(name):
                found.add(name)
    return found


def _walk(found: Returned, holder: Holder, fields: Mapping[str, Any], unit: str) -> None:
    found.holders.append(holder)
    unit = str(fields["unit"]) if isinstance(fields.get("unit"), str) and fields["unit"] else unit
    for key, value in fields.items():
        _value(found, holder, str(key), value, unit)


def _value(found: Returned, holder: Holder, key: str, value: Any, unit: str) -> None:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        if math.isfinite(value):
            found.facts.append(_fact(holder, key, float(value), unit))
            if (span := quantities.span_of_key(key, float(value))) is not None:
                found.spans.append((span, holder))
    elif isinstance(value, str):
        _note_name(found, holder, key, value)
        time = parse_iso(value)
        if time is not None:
            found.moments.append(Moment(time, key, holder))
        elif (length := quantities.parse_length(value)) is not None:
            found.spans.append((length, holder))
        else:
            ours = key in OURS or (key == "title" and _OUR_TITLE.fullmatch(value) is not None)
            _text(found, value, holder, numbers=ours, key=key)
    elif isinstance(value, Mapping):
        inner = Holder(value, _named(value, holder, key), holder, key)
        _walk(found, inner, value, unit)
    elif isinstance(value, (list, tuple)):
        _list(found, holder, key, value, unit)


def _list(found: Returned, holder: Holder, key: str, items: Sequence[Any], unit: str) -> None:
    siblings: list[Holder] = []
    for place, item in enumerate(items):
        if isinstance(item, Mapping):
            inner = Holder(item, _named(item, holder, key), holder, key, place, siblings)
            siblings.append(inner)
            _walk(found, inner, item, unit)
        elif key == "interval" and isinstance(item, (int, float)) and len(items) == 2:
            role = ("low", "high")[place]
            found.facts.append(Fact(float(item), role, role, unit, holder, holder.names))
        else:
            _value(found, holder, key, item, unit)
    if siblings:
        found.lists.setdefault(key, []).extend(siblings)
    elif not items:
        found.lists.setdefault(key, [])
    elif all(isinstance(item, str) for item in items):
        found.facts.append(Fact(float(len(items)), key, f"count {key}", "", holder, holder.names))


def _named(fields: Mapping[str, Any], above: Holder, key: str) -> dict[str, frozenset[str]]:
    """What a mapping is called: its own names over those of what it stands in."""
    names = dict(above.names)
    for name, kind in _NAMING.items():
        value = fields.get(name)
        if name == "name":
            kind = {"models": "model", "features": "feature", "runbooks": "runbook"}.get(key, "metric")
            if kind == "metric" and not (isinstance(value, str) and value.lower() in METRICS):
                continue
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            names[kind] = frozenset((str(value),))
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            names[kind] = frozenset(value)
    monitor = fields.get("monitor")
    if isinstance(monitor, str) and "metric" not in fields:
        names["metric"] = frozenset((monitor.rpartition(".")[2],))
    for name in ("id", "incident", "proposal", "diagnosis", "execution"):
        value = fields.get(name)
        if (
            isinstance(value, str)
            and (found := ID.fullmatch(value))
            and (name == "id" or f"record {value[0]}" not in names)
        ):
            names[f"record {value[0]}"] = frozenset((found[1],))
            if found[2]:
                names["evidence"] = frozenset((found[2],))
    return names


def _fact(holder: Holder, key: str, value: float, unit: str) -> Fact:
    names = holder.names
    role = _ROLES.get(key)
    if role is None:
        metric = key.lower().removeprefix("test_").removeprefix("val_")
        if holder.listed in ("metrics", "metric") or metric in METRICS:
            return Fact(value, key, "value", unit, holder, {**names, "metric": frozenset((key,))})
        if key == "a" or key == "b":
            what = holder.fields.get("what")
            return Fact(value, key, "value", unit, holder, {**names, "metric": frozenset((str(what),))})
        role = f"count {key}"
    return Fact(value, key, role, unit, holder, names)


def _note_name(found: Returned, holder: Holder, key: str, value: str) -> None:
    kind = _NAMING.get(key)
    if key in _VERSIONS:
        kind = "version"
    elif key == "name":
        kind = {"models": "model", "features": "feature"}.get(holder.listed, "other")
    elif key in _PEOPLE:
        kind = "person"
    if kind is not None:
        found.names.setdefault(kind, set()).add(value)
    if kind == "monitor":
        found.names.setdefault("metric", set()).add(value.rpartition(".")[2])


def _text(found: Returned, text: str, holder: Holder, *, numbers: bool, key: str) -> None:
    """A sentence that was returned: its ids, and the numbers that it says of its holder."""
    found.texts.append(text)
    for record in ID.finditer(text):
        found.ids |= {record[1], record[0]}
        if record[2]:
            found.ids.add(record[2])
    if re.fullmatch(r"E\d{1,4}", text):
        found.ids.add(text)
    if not numbers or len(text) > 2000:
        return
    # A feature may be called `mae 0.1`: its name says nothing.
    for name in sorted(
        (n for names in holder.names.values() for n in names if re.search(r"\d", n)), key=len, reverse=True
    ):
        text = text.replace(name, " " * len(name))
    for said in quantities.find(text):
        role = quantities.role_in_text(text, said) or "written"
        found.facts.append(Fact(said.value * said.scale, key, role, said.unit, holder, holder.names, written=True))
        if said.unit == "%":
            found.facts.append(Fact(said.value / 100, key, role, "", holder, holder.names, written=True))
