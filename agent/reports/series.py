"""A model's headline metric over time, from the stored looks, and the moments marked on it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.wording import figure, moment, shown, visible
from agent.reports.pictured import Chart, Mark, Point
from agent.reports.shape import DeploymentFacts
from agent.reports.timeline import noun
from agent.store.tables import Deployment, Incident, MeasurementRow
from ml.spec import ModelSpec

MOST_POINTS = 240


def direction(spec: ModelSpec) -> Literal["lower", "higher"]:
    return "higher" if spec.higher_is_better else "lower"


def metric_points(session: Session, spec: ModelSpec, start: datetime | None, end: datetime) -> list[Point]:
    """Every value of `performance.<metric>` of the whole model whose window ended in `[start, end]`."""
    row = MeasurementRow
    query = (
        select(row.window_end, row.value, row.low, row.high, row.n, row.threshold, row.status)
        .where(
            row.model == spec.name,
            row.monitor == f"performance.{spec.metric}",
            row.feature.is_(None),
            row.segment.is_(None),
            row.window_end <= end,
        )
        .order_by(row.window_end, row.id)
    )
    if start is not None:
        query = query.where(row.window_end >= start)
    return [
        Point.model_construct(
            at=at,
            value=figure(value),
            low=figure(low),
            high=figure(high),
            n=n,
            threshold=figure(threshold),
            status=status,
        )
        for at, value, low, high, n, threshold, status in session.execute(query)
    ]


def performance(
    session: Session, spec: ModelSpec, since: datetime, until: datetime, *, border: datetime | None = None
) -> Chart | None:
    """The metric of a span of time with deployments and incidents marked; None without any labelled value. `border`:
    where one of two spans that are compared ends and the other begins."""
    opened = session.execute(
        select(Incident.id, Incident.opened_at).where(
            Incident.model == spec.name, Incident.opened_at > since, Incident.opened_at <= until
        )
    ).all()
    moments = [("detected", at, f"incident {number}") for number, at in opened]
    moments += [
        ("deployment", d.at, f"version {visible(d.version, 40)} went live ({noun(d.kind)})")
        for d in deployments(session, spec.name, since, until)
    ]
    if border is not None:
        moments.append(("border", border, "the later time begins"))
    return chart(spec, metric_points(session, spec, since, until), moments)


def day(time: datetime | None) -> str:
    """A day for people, UTC."""
    return "unknown" if time is None else f"{time:%Y-%m-%d}"


def worst(points: Sequence[Point], better: str) -> Point | None:
    """The point with the worst value; None when none has a value."""
    known = [p for p in points if p.value is not None]
    if not known:
        return None
    return max(known, key=lambda p: (p.value or 0.0) * (1 if better == "lower" else -1))


def healthy_before(session: Session, spec: ModelSpec, until: datetime) -> Point | None:
    """The latest value within its threshold whose window ended by `until`; any value where none was."""
    known = [p for p in metric_points(session, spec, None, until) if p.value is not None]
    healthy = [p for p in known if p.status == "ok"]
    return (healthy or known or [None])[-1]  # type: ignore[list-item]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most about `most` points: evenly spaced, with the last one and both extremes kept."""
    if len(points) <= most:
        return list(points)
    known = [i for i, p in enumerate(points) if p.value is not None]
    keep = set(range(0, len(points), -(-len(points) // most))) | {len(points) - 1}
    if known:
        keep |= {min(known, key=lambda i: points[i].value or 0.0), max(known, key=lambda i: points[i].value or 0.0)}
    return [points[i] for i in sorted(keep)]


def deployments(session: Session, model: str, start: datetime | None, end: datetime) -> list[DeploymentFacts]:
    """The ledger in order of time, within `[start, end]`."""
    query = (
        select(Deployment).where(Deployment.model == model, Deployment.at <= end).order_by(Deployment.at, Deployment.id)
    )
    if start is not None:
        query = query.where(Deployment.at >= start)
    return [
        DeploymentFacts(version=d.version, kind=d.kind, at=d.at, note=d.note, proposal_id=d.proposal_id)
        for d in session.scalars(query)
    ]


def chart(
    spec: ModelSpec, points: Sequence[Point], moments: Sequence[tuple[str, datetime, str]], unit: str = ""
) -> Chart | None:
    """The chart's facts; None without any value. `moments` are kind, time and label; each gets a letter, by time."""
    known = [p for p in points if p.value is not None]
    if not known:
        return None
    ordered = sorted(moments, key=lambda m: m[1])
    marks = [Mark(key=_letter(i), kind=kind, at=at, label=label) for i, (kind, at, label) in enumerate(ordered)]
    better = direction(spec)
    return Chart(
        metric=spec.metric,
        unit=unit,
        better=better,
        looks=len(points),
        points=thinned(points),
        marks=marks,
        alt=_alt(spec, known, marks, better),
    )


def _letter(index: int) -> str:
    letters = string.ascii_uppercase
    return letters[index] if index < 26 else f"{letters[index // 26 - 1]}{letters[index % 26]}"


def _alt(spec: ModelSpec, known: Sequence[Point], marks: Sequence[Mark], better: str) -> str:
    first, last, bad = known[0], known[-1], worst(known, better)
    assert bad is not None
    text = (
        f"{spec.metric} of {spec.name} over time ({better} is better): {shown(first.value)} at {moment(first.at)}, "
        f"at worst {shown(bad.value)} at {moment(bad.at)}, {shown(last.value)} at {moment(last.at)}."
    )
    if last.threshold is not None:
        text += f" The threshold is {shown(last.threshold)}."
    return text + "".join(f" {mark.key}: {visible(mark.label)}, {moment(mark.at)}." for mark in marks)


def around(spec: ModelSpec, start: datetime) -> datetime:
    """Where the chart of an incident that began at `start` begins: a few windows earlier."""
    return start - max(4 * spec.window, timedelta(days=7))
