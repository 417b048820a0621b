"""What the charts of a model show, read from the records: plain numbers for `static/charts.js`, and a sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.wording import visible
from agent.doors.console.words import metric_name, number
from agent.store.tables import Incident, MeasurementRow
from ml.results import Status
from ml.spec import ModelSpec

MOST_FEATURES = 40
LOOKS = 60

Chart = dict[str, Any]


def plain(value: float | None) -> float | None:
    """A number that JSON knows, to six digits."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def metric_series(
    session: Session, spec: ModelSpec, monitor: str, looks: int, until: datetime | None = None
) -> list[Any]:
    """The newest `looks` rows of a monitor of the whole model, oldest first."""
    row = MeasurementRow
    query = select(row.window_end, row.value, row.low, row.high, row.threshold, row.status, row.n, row.detail).where(
        row.model == spec.name, row.monitor == monitor, row.feature.is_(None), row.segment.is_(None)
    )
    if until is not None:
        query = query.where(row.window_end <= until)
    return list(session.execute(query.order_by(row.window_end.desc(), row.id.desc()).limit(looks)))[::-1]


def series(
    rows: Sequence[Any],
    *,
    name: str,
    better: str,
    ledger: Sequence[Mapping[str, Any]] = (),
    incidents: Sequence[Incident] = (),
    marks: Sequence[tuple[datetime, str]] = (),
) -> tuple[Chart, str] | None:
    """A number over time with its interval, bound, deployments and incidents; None without any value."""
    rows = trimmed(rows)
    known = [row for row in rows if row.value is not None and math.isfinite(row.value)]
    if not known:
        return None
    first, last = rows[0].window_end, rows[-1].window_end
    shown = [one for one in ledger if first <= one["timestamp"] <= last]
    spans = [one for one in incidents if (one.resolved_at or last) >= first and one.opened_at <= last]
    beyond = sum(row.status == Status.BREACH for row in rows)
    data = {
        "name": name,
        "better": better,
        "points": [
            [
                row.window_end.isoformat(),
                plain(row.value),
                plain(row.low),
                plain(row.high),
                plain(row.threshold),
                row.status,
                row.n,
            ]
            for row in rows
        ],
        "marks": _together(
            [(one["timestamp"], f"v{visible(one['version'], 12)}") for one in shown]
            + [(at, text) for at, text in marks if first <= at <= last]
        ),
        "spans": [
            {
                "start": max(one.opened_at, first).isoformat(),
                "end": min(one.resolved_at or last, last).isoformat(),
                "text": visible(one.title, 60),
            }
            for one in spans
        ],
    }
    low, high = min(row.value for row in known), max(row.value for row in known)
    bound = next((row.threshold for row in reversed(rows) if row.threshold is not None), None)
    said = (
        f"{name} over {len(rows)} looks, {better} is better: {number(known[0].value)} at first, "
        f"{number(known[-1].value)} now, between {number(low)} and {number(high)}"
        + (
            f"; the bound is {number(bound)} and {beyond} look{'' if beyond == 1 else 's'} lay beyond it"
            if bound
            else ""
        )
        + (f"; {len(shown)} deployment{'' if len(shown) == 1 else 's'}" if shown else "")
        + (f", {len(spans)} incident{'' if len(spans) == 1 else 's'}" if spans else "")
        + "."
    )
    return data, said[0].upper() + said[1:]


def _together(marks: Sequence[tuple[datetime, str]]) -> list[dict[str, str]]:
    """Marks in order of time; those of one moment share a line."""
    found: dict[datetime, list[str]] = {}
    for at, text in sorted(marks):
        found.setdefault(at, []).append(text)
    return [{"at": at.isoformat(), "text": ", ".join(texts)} for at, texts in found.items()]


def trimmed(rows: Sequence[Any]) -> Sequence[Any]:
    """Without looks that saw nothing, far away from all that saw something: they would make the rest a speck."""
    known = [i for i, row in enumerate(rows) if row.value is not None]
    if len(known) < 2:
        return rows
    first, last = rows[known[0]].window_end, rows[known[-1]].window_end
    room = (last - first) / 4
    return [row for row in rows if first - room <= row.window_end <= last + room]


def performance(
    session: Session, spec: ModelSpec, looks: int, ledger: Sequence[Mapping[str, Any]], incidents: Sequence[Incident]
) -> tuple[Chart, str] | None:
    """The headline metric."""
    return series(
        metric_series(session, spec, f"performance.{spec.metric}", looks),
        name=metric_name(spec.metric),
        better="higher" if spec.higher_is_better else "lower",
        ledger=ledger,
        incidents=incidents,
    )


def heat(session: Session, spec: ModelSpec, looks: int = LOOKS) -> tuple[Chart, str] | None:
    """Drift by column and look, of the columns that moved most; None where nothing was compared."""
    row = MeasurementRow
    drifted = (
        row.model == spec.name,
        row.monitor.startswith("drift."),
        row.feature.is_not(None),
        row.value.is_not(None),
    )
    ends = list(
        session.scalars(
            select(row.window_end).where(*drifted).group_by(row.window_end).order_by(row.window_end.desc()).limit(looks)
        )
    )[::-1]
    if not ends:
        return None
    here = (*drifted, row.window_end >= ends[0])
    beyond = func.sum(func.coalesce(row.value, 0.0)).filter(row.status == Status.BREACH)
    ranked = session.execute(
        select(row.feature, func.max(row.value))
        .where(*here)
        .group_by(row.feature)
        .order_by(func.coalesce(beyond, 0.0).desc(), func.coalesce(func.max(row.value), 0.0).desc(), row.feature)
    ).all()
    names = [str(name) for name, _ in ranked[:MOST_FEATURES]]
    rows = session.execute(
        select(row.feature, row.window_end, row.value, row.status).where(*here, row.feature.in_(names))
    ).all()
    at, of = {end: i for i, end in enumerate(ends)}, {name: i for i, name in enumerate(names)}
    cells: list[tuple[int, int, float | None, int]] = [
        (at[end], of[feature], plain(value), int(status == Status.BREACH))
        for feature, end, value, status in rows
        if feature in of and value is not None
    ]
    if not cells:
        return None
    data = {
        "times": [end.isoformat() for end in ends],
        "names": [visible(name, 60) for name in names],
        "keys": names,
        "cells": cells,
        "measure": "PSI",
    }
    now = sorted({names[cell[1]] for cell in cells if cell[0] == len(ends) - 1 and cell[3]})
    said = "How far each column has moved (PSI, the population stability index): "
    said += f"{len(names)} columns over {len(ends)} looks"
    said += f", the most moved of {len(ranked)}" if len(ranked) > len(names) else ""
    said += (
        f"; beyond their bound at the latest look: {', '.join(visible(name, 40) for name in now[:6])}"
        if now
        else ("; none is beyond its bound at the latest look")
    )
    return data, said + ("" if len(now) <= 6 else f" and {len(now) - 6} more") + "."


def columns_of(session: Session, spec: ModelSpec) -> list[str]:
    """Every column that has drift measured, for choosing one."""
    row = MeasurementRow
    latest = select(func.max(row.window_end)).where(row.model == spec.name, row.monitor.startswith("drift."))
    found = session.scalars(
        select(row.feature)
        .where(
            row.model == spec.name,
            row.monitor.startswith("drift."),
            row.window_end == latest.scalar_subquery(),
            row.feature.is_not(None),
        )
        .order_by(row.feature)
    )
    return [str(name) for name in found]


def shares(names: Mapping[str, float], then: Mapping[str, float], now_label: str, then_label: str) -> tuple[Chart, str]:
    """The features that move the answers most, now and then."""
    order = sorted({*names, *then}, key=lambda name: (-names.get(name, 0.0), -then.get(name, 0.0), name))[:20]
    data: Chart = {
        "names": [visible(name, 40) for name in order],
        "now": [plain(names.get(name, 0.0)) for name in order],
        "then": [plain(then.get(name, 0.0)) for name in order] if then else [],
        "labels": [now_label, then_label],
        "unit": "%",
    }
    if max([*names.values(), *then.values()], default=0.0) > 0.8:
        data.update({"from": 0, "to": 1})
    told = ", ".join(
        f"{visible(name, 40)} {round(100 * names.get(name, 0.0))}\u00a0%"
        + (f" ({round(100 * then.get(name, 0.0))}\u00a0%)" if then else "")
        for name in order[:4]
    )
    beside = f" ({then_label})" if then else ""
    return data, f"Share of each column in how far the answers move, {now_label}{beside}: {told}."


def pushes(values: Mapping[str, float], unit: str, most: int = 12) -> tuple[Chart, str]:
    """What pushed one answer up or down, the strongest first."""
    order = sorted(values, key=lambda name: (-abs(values[name]), name))
    kept = order[:most]
    rest = sum(values[name] for name in order[most:])
    names, numbers = [visible(name, 40) for name in kept], [plain(values[name]) for name in kept]
    if order[most:]:
        names.append(f"{len(order) - most} others")
        numbers.append(plain(rest))
    told = ", ".join(f"{visible(name, 40)} {values[name]:+.3g}" for name in kept[:4])
    return {"names": names, "now": numbers, "then": [], "signed": True, "unit": unit}, f"Pushed by {told} ({unit})."
