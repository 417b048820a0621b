"""What pictures of a model show, read from the records: drift and slices by time, versions compared, a decision funnel.

A long time is read at a few looks, the last one of each span, so that 90 days of 500 features stay a quick question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from agent.domain.wording import figure, names, shown, visible
from agent.reports.pictured import Bar, Bars, HeatMap, Importance
from agent.reports.series import day, direction, metric_points
from agent.store.tables import (
    Alert,
    Deployment,
    Diagnosis,
    Incident,
    MeasurementRow,
    MonitorRun,
    Proposal,
    Verification,
)
from ml.spec import ModelSpec

MOST_ROWS = 16
MOST_SPANS = 14
MOST_FEATURES = 12
MOST_VERSIONS = 8


def drift(session: Session, spec: ModelSpec, since: datetime, until: datetime) -> HeatMap | None:
    """How far each input has moved (population stability index); None where that was not measured."""
    where = (MeasurementRow.monitor == "drift.psi", MeasurementRow.feature.is_not(None))
    return _map(session, spec, since, until, "drift", where, MeasurementRow.feature)


def slices(session: Session, spec: ModelSpec, since: datetime, until: datetime) -> HeatMap | None:
    """The mean loss of each slice by time; None where the spec names no segments or none had labels."""
    where = (MeasurementRow.monitor == "performance.segment", MeasurementRow.segment.is_not(None))
    return _map(session, spec, since, until, "slices", where, MeasurementRow.segment)


def versions(session: Session, spec: ModelSpec, since: datetime, until: datetime) -> Bars | None:
    """The last value of the metric of each version while it was the champion; None where none had labels."""
    ledger = session.execute(
        select(Deployment.version, Deployment.at)
        .where(Deployment.model == spec.name, Deployment.at <= until)
        .order_by(Deployment.at, Deployment.id)
    ).all()
    points = metric_points(session, spec, since, until)
    bars: dict[str, Bar] = {}
    for number, (version, began) in enumerate(ledger):
        ended = ledger[number + 1][1] if number + 1 < len(ledger) else until
        settled = began + spec.window + spec.label_delay
        mine = [p for p in points if p.value is not None and p.at and began < p.at <= ended]
        whole = [p for p in mine if p.at and p.at - spec.label_delay >= settled - spec.label_delay]
        if mine:
            last = (whole or mine)[-1]
            mixed = "" if whole else ", window begins before it"
            name = f"version {visible(version, 40)}"
            bars[version] = Bar(
                name=name, value=last.value, low=last.low, high=last.high, note=f"look of {day(last.at)}{mixed}"
            )
    if not bars:
        return None
    kept = list(bars.values())[-MOST_VERSIONS:]
    better = direction(spec)
    told = "; ".join(f"{bar.name}: {shown(bar.value)}{_interval(bar)} ({bar.note})" for bar in kept)
    return Bars(
        kind="versions",
        measure=f"{spec.metric} ({better} is better)",
        bars=kept,
        alt=f"{spec.metric} of {spec.name} by version, the last look while each answered ({better} is better). {told}.",
    )


def funnel(session: Session, model: str | None, since: datetime, until: datetime) -> Bars:
    """How many alerts became incidents, diagnoses, proposals, approvals, executions; and how many helped."""

    def counted(key: ColumnElement[str], table: type, *where: ColumnElement[bool]) -> int:
        query = select(func.count(func.distinct(key))).select_from(table)
        query = query.where(*where) if model is None else query.where(*where, table.model == model)  # type: ignore[attr-defined]
        return session.scalar(query) or 0

    made = (Proposal.created_at > since, Proposal.created_at <= until)
    in_span = select(Proposal.id).where(*made)
    if model is not None:
        in_span = in_span.where(Proposal.model == model)
    judged = select(func.count()).select_from(Verification).where(Verification.proposal_id.in_(in_span))
    opened = (Incident.opened_at > since, Incident.opened_at <= until)
    diagnosed = (
        select(func.count(func.distinct(Diagnosis.incident_id)))
        .join(Incident, Incident.id == Diagnosis.incident_id)
        .where(*opened)
    )
    if model is not None:
        diagnosed = diagnosed.where(Incident.model == model)
    steps = [
        ("alerts", counted(Alert.id, Alert, Alert.first_seen > since, Alert.first_seen <= until)),  # type: ignore[arg-type]
        ("incidents", counted(Incident.id, Incident, *opened)),  # type: ignore[arg-type]
        ("diagnosed", session.scalar(diagnosed) or 0),
        ("proposals", counted(Proposal.id, Proposal, *made)),  # type: ignore[arg-type]
        ("approved", counted(Proposal.id, Proposal, *made, Proposal.approved_at.is_not(None))),  # type: ignore[arg-type]
        ("carried out", session.scalar(judged) or 0),
        ("helped", session.scalar(judged.where(Verification.verdict == "succeeded")) or 0),
    ]
    told = ", ".join(f"{count} {name}" for name, count in steps)
    bars = [Bar(name=name, value=float(count)) for name, count in steps]
    return Bars(kind="funnel", measure="count", bars=bars, alt=f"From alerts to what helped: {told}.")


def importance(
    then: Mapping[str, float], now: Mapping[str, float], *, then_label: str, now_label: str
) -> Importance | None:
    """The features that move the answers most now, beside what they did then."""
    features = sorted({*then, *now}, key=lambda name: (-now.get(name, 0.0), -then.get(name, 0.0), name))
    if not features:
        return None
    kept = features[:MOST_FEATURES]
    before = [figure(100 * then.get(name, 0.0)) or 0.0 for name in kept]
    after = [figure(100 * now.get(name, 0.0)) or 0.0 for name in kept]
    told = "; ".join(
        f"{visible(name, 80)}: {shown(a)} % then, {shown(b)} % now"
        for name, a, b in zip(kept, before, after, strict=True)
    )
    return Importance(
        features=kept, then=before, now=after, then_label=then_label, now_label=now_label,
        left_out=len(features) - len(kept), alt=f"How much each feature moves the answers. {told}.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Cell:
    value: float | None
    breached: bool


def _map(
    session: Session,
    spec: ModelSpec,
    since: datetime,
    until: datetime,
    kind: Literal["drift", "slices"],
    where: Sequence[ColumnElement[bool]],
    row: InstrumentedAttribute[str | None],
) -> HeatMap | None:
    looks = _last_looks(session, spec.name, since, until, where)
    found = session.execute(
        select(
            MeasurementRow.run_id, row, MeasurementRow.value, MeasurementRow.status, MeasurementRow.facts["current"]
        ).where(MeasurementRow.run_id.in_(list(looks)), *where)
    ).all()
    ends = sorted(set(looks.values()))
    cells: dict[str, dict[datetime, _Cell]] = {}
    for run, name, rise, status, current in found:
        value = rise if kind == "drift" else current
        number = figure(float(value)) if isinstance(value, (int, float)) else None
        if number is not None and kind == "drift":
            number = round(number, 2) + 0.0  # an index near 0, or below it by its correction, is none
        cells.setdefault(str(name), {})[looks[run]] = _Cell(number, status == "breach")
    known = {name: mine for name, mine in cells.items() if any(cell.value is not None for cell in mine.values())}
    if not known:
        return None
    order = sorted(known, key=lambda name: (-max(c.value or 0.0 for c in known[name].values()), name))
    rows = order[:MOST_ROWS]
    nothing = _Cell(None, False)
    grid = [[known[name].get(end, nothing) for end in ends] for name in rows]
    flagged = [name for name, line in zip(rows, grid, strict=True) if any(cell.breached for cell in line)]
    top = rows[0]
    peak = max(cell.value or 0.0 for cell in grid[0])
    measure = "population stability index" if kind == "drift" else "mean loss of a row"
    what = "Drift of the inputs" if kind == "drift" else "Loss by slice"
    alt = (
        f"{what} of {spec.name} over time ({measure}; darker is more). Highest: {visible(top, 80)} with {shown(peak)}."
    )
    alt += f" A rule was crossed by {names(flagged)}." if flagged else " No rule was crossed."
    return HeatMap(
        kind=kind,
        measure=measure,
        rows=rows,
        ends=ends,
        values=[[cell.value for cell in line] for line in grid],
        breached=[[cell.breached for cell in line] for line in grid],
        left_out=len(known) - len(rows),
        alt=alt,
    )


def _last_looks(
    session: Session, model: str, since: datetime, until: datetime, where: Sequence[ColumnElement[bool]]
) -> dict[str, datetime]:
    """The last look of each of at most `MOST_SPANS` equal spans that measured what is wanted, by its id."""
    measured = select(MeasurementRow.id).where(MeasurementRow.run_id == MonitorRun.id, *where).exists()
    rows = session.execute(
        select(MonitorRun.id, MonitorRun.window_end)
        .where(MonitorRun.model == model, MonitorRun.window_end > since, MonitorRun.window_end <= until, measured)
        .order_by(MonitorRun.window_end)
    ).all()
    if not rows:
        return {}
    first, last = rows[0][1], rows[-1][1]
    step = max((last - first) / MOST_SPANS, timedelta(seconds=1))
    chosen: dict[int, tuple[str, datetime]] = {}
    for run, end in rows:
        chosen[min(int((end - first) / step), MOST_SPANS - 1)] = (run, end)
    return dict(chosen.values())


def _interval(bar: Bar) -> str:
    return "" if bar.low is None or bar.high is None else f", {shown(bar.low)} to {shown(bar.high)}"
