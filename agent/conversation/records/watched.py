"""Models and the numbers that the monitors gave: state, series, drift, performance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from agent.conversation.records.sight import PAGE, Sight, cursor_of, numbered, page, timed
from agent.domain.proposal import ProposalState
from agent.domain.wording import moment
from agent.store import queries
from agent.store.tables import Incident, MeasurementRow, MonitorRun, Proposal, Silence
from ml.results import Status
from ml.spec import ModelSpec, format_duration
from tools.context import Found, Item, Span

MOST_POINTS = 400


def models(sight: Sight, model: str | None, cursor: str | None) -> Found:
    """Every model in a line; one with its features."""
    if model is not None:
        line, cited = _line(sight, sight.spec(model), whole=True)
        return Found({"models": [line]}, n=line["n"], evidence=cited)
    names = sight.names()
    if not names:
        return Found({"models": []}, missing="There is no model that you may see; `watchkeeper model add SPEC.yaml`.")
    after = [name for name in names if cursor is None or name > cursor]
    made = [(name, *_line(sight, queries.spec_of(sight.session, name), whole=False)) for name in after[:PAGE]]
    items = [Item(line, name, cited) for name, line, cited in made]
    return Found({"all": len(names)}, items, lambda entries: {"models": entries}, more=len(after) > PAGE)


def _line(sight: Sight, spec: ModelSpec, *, whole: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    session = sight.session
    run, incident = queries.latest_run(session, spec.name), queries.unresolved_incident(session, spec.name)
    waiting = session.scalar(
        select(Proposal.id)
        .where(Proposal.model == spec.name, Proposal.state == ProposalState.PENDING)
        .order_by(Proposal.approve_by, Proposal.id)
        .limit(1)
    )
    ledger, control = queries.deployments(session, spec.name), queries.control(session)
    metric = _of_run(sight, run, f"performance.{spec.metric}")
    estimate = _of_run(sight, run, "estimation.loss")
    known = metric is not None and metric.value is not None
    line = {
        "name": spec.name,
        "task": str(spec.task),
        "owner": spec.owner,
        "state": _state(sight, spec, incident, metric),
        "champion": ledger[-1]["version"] if ledger else (run.champion if run else None),
        "metric": spec.metric,
        "better": _better(spec),
        "value": metric.value if metric else None,
        "low": metric.low if metric else None,
        "high": metric.high if metric else None,
        "threshold": metric.threshold if metric else None,
        "n": metric.n if metric else 0,
        "window_start": metric.window_start if metric else None,
        "window_end": metric.window_end if metric else None,
        "last_look": run.window_end if run else None,
        "rows": run.rows if run else 0,
        "estimated": not known and estimate is not None and estimate.value is not None,
        "open_incident": incident.id if incident else None,
        "waiting_proposal": waiting,
        "frozen": control.frozen,
        "run": run.id if run else None,
    }
    if not known and estimate is not None and estimate.value is not None:
        line["estimate"] = {"of": "rise of the mean loss, from inputs alone", **_point(estimate), "unit": estimate.unit}
    if whole:
        line |= {
            "description": spec.description,
            "features": [
                {"name": name, "type": str(feature.type), "used": feature.used}
                for name, feature in spec.features.items()
            ],
            "segments": list(spec.segments),
            "label_delay": format_duration(spec.label_delay),
            "window": format_duration(spec.window),
            "every": format_duration(spec.every),
            "tolerance": spec.tolerance,
            "silences": _silences(sight, spec),
            "alerts_firing": len(queries.firing_alerts(session, spec.name)),
        }
    ids = (run.id if run else None, incident.id if incident else None, waiting)
    return line, tuple(one for one in ids if one)


def _silences(sight: Sight, spec: ModelSpec) -> list[dict[str, Any]]:
    query = select(Silence).where(Silence.model == spec.name, Silence.until > sight.now, Silence.ended_at.is_(None))
    return [
        {"id": row.id, "monitor": row.monitor, "feature": row.feature, "until": row.until, "reason": row.reason}
        for row in sight.session.scalars(query.order_by(Silence.until))
    ]


def _state(sight: Sight, spec: ModelSpec, incident: Incident | None, metric: MeasurementRow | None) -> str:
    """`healthy` needs a known value: nothing seen is not nothing wrong."""
    if incident is not None:
        return "incident"
    if metric is None or metric.value is None:
        return "no_data"
    graver = [alert for alert in queries.firing_alerts(sight.session, spec.name) if alert.severity != "info"]
    return "warning" if graver or metric.status == Status.BREACH else "healthy"


def _of_run(sight: Sight, run: MonitorRun | None, monitor: str) -> MeasurementRow | None:
    if run is None:
        return None
    return sight.session.scalar(
        select(MeasurementRow).where(
            MeasurementRow.run_id == run.id,
            MeasurementRow.monitor == monitor,
            MeasurementRow.feature.is_(None),
            MeasurementRow.segment.is_(None),
        )
    )


def _better(spec: ModelSpec) -> str:
    return "higher" if spec.higher_is_better else "lower"


def _point(row: MeasurementRow) -> dict[str, Any]:
    names = ("window_start", "window_end", "value", "low", "high", "n", "threshold", "status")
    return {name: getattr(row, name) for name in names} | _silenced(row)


def _silenced(row: MeasurementRow) -> dict[str, Any]:
    """What is added to a breach that opened no incident because it was silenced."""
    return {key: row.facts[key] for key in ("silenced_by", "silenced_until") if key in (row.facts or {})}


def measurements(
    sight: Sight,
    model: str,
    monitor: str | None,
    feature: str | None,
    segment: str | None,
    span: Span,
    cursor: str | None,
) -> Found:
    """Points of every series that is asked for, newest first."""
    sight.spec(model)
    query = select(MeasurementRow).where(MeasurementRow.model == model, *timed(MeasurementRow.window_end, span))
    if monitor is not None:
        query = query.where(of_monitor(monitor))
    if feature is not None:
        query = query.where(MeasurementRow.feature == feature)
    if segment is not None:
        query = query.where(MeasurementRow.segment == segment)
    rows, more = page(sight.session, query, (MeasurementRow.window_end, MeasurementRow.id), cursor, MOST_POINTS)
    if not rows:
        return Found({"series": []}, missing=_nothing(sight, model, monitor, feature, segment))
    items = [
        Item(
            {"key": (row.monitor, row.feature, row.segment, row.unit), "point": _point(row)},
            cursor_of(row.window_end, row.id),
            (row.run_id,),
        )
        for row in rows
    ]
    window = (min(row.window_start for row in rows), max(row.window_end for row in rows))
    return Found({}, items, _series, more=more, window=window, n=max(row.n for row in rows))


def of_monitor(monitor: str) -> ColumnElement[bool]:
    """`drift.psi` is one monitor, `drift` a family."""
    if "." in monitor:
        return MeasurementRow.monitor == monitor
    return MeasurementRow.monitor.startswith(f"{monitor}.", autoescape=True)


def _series(entries: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for entry in entries:
        found.setdefault(entry["key"], []).append(entry["point"])
    names = ("monitor", "feature", "segment", "unit")
    return {"series": [{**dict(zip(names, key, strict=True)), "points": points} for key, points in found.items()]}


def _nothing(sight: Sight, model: str, monitor: str | None, feature: str | None, segment: str | None) -> str:
    """Why there are no points: never looked at, nothing of that name, or nothing in that time."""
    of_model = MeasurementRow.model == model
    if sight.session.scalar(select(MeasurementRow.id).where(of_model).limit(1)) is None:
        return f"{model} has never been looked at."
    for column, wanted, what in (
        (MeasurementRow.feature, feature, "features"),
        (MeasurementRow.segment, segment, "segments"),
    ):
        if wanted is not None:
            known = sight.session.scalars(
                select(column).where(of_model, column.is_not(None)).distinct().order_by(column).limit(40)
            ).all()
            if wanted not in known:
                return (
                    f"Nothing is measured of {wanted[:60]!r}; {what} that are: {', '.join(map(str, known)) or 'none'}."
                )
    if monitor is not None:
        monitors = sight.session.scalars(select(MeasurementRow.monitor).where(of_model).distinct()).all()
        if not any(name == monitor or name.startswith(f"{monitor}.") for name in monitors):
            return f"There is no monitor {monitor[:60]!r}; there are {', '.join(sorted(monitors))}."
    return f"Nothing was measured of {model} in that time, or at the end of its list{_last_look(sight, model)}."


def _last_look(sight: Sight, model: str) -> str:
    run = queries.latest_run(sight.session, model)
    return f"; its latest look was {moment(run.window_end)}" if run else ""


def drift(sight: Sight, model: str, span: Span, cursor: str | None) -> Found:
    """The drift measurements of the latest look in the span, strongest first."""
    sight.spec(model)
    query = select(MonitorRun).where(MonitorRun.model == model, *timed(MonitorRun.window_end, span))
    run = sight.session.scalar(query.order_by(MonitorRun.window_end.desc()).limit(1))
    if run is None:
        why = "in that time" if span.since or span.until else "yet"
        missing = f"{model} was not looked at {why}{_last_look(sight, model)}."
        return Found({"features": [], "breaches": 0, "checked": 0}, missing=missing)
    rows = sight.session.scalars(
        select(MeasurementRow).where(MeasurementRow.run_id == run.id, of_monitor("drift"))
    ).all()
    first = _first_breaches(sight, model, rows)
    entries = [_moved(row, first.get((row.monitor, row.feature))) for row in sorted(rows, key=_strength)]
    checked = [row for row in rows if row.value is not None]
    counts = {
        "breaches": sum(row.status == Status.BREACH for row in rows),
        "checked": len(checked),
        "not_checked": len(rows) - len(checked),
    }
    window = (run.window_start, run.window_end)
    if not checked:
        why = rows[0].detail if rows else "no drift was measured"
        return Found(
            {"features": [], **counts}, missing=f"{model}: {why}", window=window, n=run.rows, evidence=(run.id,)
        )
    return Found(
        counts,
        numbered(entries, cursor),
        lambda shown: {"features": shown},
        window=window,
        n=run.rows,
        unit="psi",
        evidence=(run.id,),
    )


def _strength(row: MeasurementRow) -> tuple[bool, bool, float, str]:
    value = row.value if row.value is not None and math.isfinite(row.value) else -math.inf
    over = value / row.threshold if row.threshold else value
    return row.status != Status.BREACH, row.value is None, -over, row.feature or ""


def _moved(row: MeasurementRow, first: Any) -> dict[str, Any]:
    return {
        "feature": row.feature,
        "monitor": row.monitor,
        "value": row.value,
        "threshold": row.threshold,
        "status": row.status,
        "n": row.n,
        "detail": row.detail,
        "first_breach": first,
    } | _silenced(row)


def _first_breaches(sight: Sight, model: str, rows: Sequence[MeasurementRow]) -> dict[tuple[str, str | None], Any]:
    """Since when each of the breaching ones breaches without a look between that was fine."""
    found: dict[tuple[str, str | None], Any] = {}
    for row in [row for row in rows if row.status == Status.BREACH][:200]:
        same = (
            MeasurementRow.model == model,
            MeasurementRow.monitor == row.monitor,
            MeasurementRow.feature.is_not_distinct_from(row.feature),
            MeasurementRow.segment.is_not_distinct_from(row.segment),
            MeasurementRow.window_end <= row.window_end,
        )
        fine = sight.session.scalar(
            select(func.max(MeasurementRow.window_end)).where(*same, MeasurementRow.status == Status.OK)
        )
        since = select(func.min(MeasurementRow.window_end)).where(*same, MeasurementRow.status == Status.BREACH)
        found[row.monitor, row.feature] = sight.session.scalar(
            since if fine is None else since.where(MeasurementRow.window_end > fine)
        )
    return found


def performance(sight: Sight, model: str, span: Span, cursor: str | None) -> Found:
    """The headline metric over time (newest first), its change, the loss by slice, what is estimated without labels."""
    spec = sight.spec(model)
    rows = _whole_model(sight, spec, f"performance.{spec.metric}", span)
    estimated = _whole_model(sight, spec, "estimation.loss", span)[-20:]
    known = [row for row in rows if row.value is not None]
    data = {
        "metric": spec.metric,
        "better": _better(spec),
        "change": _change(known),
        "estimated": [{**_point(row), "detail": row.detail} for row in estimated if row.value is not None],
        "slices": _slices(sight, rows[-1]) if rows else [],
    }
    if not known:
        said = rows[-1].detail if rows else f"it was not looked at in that time{_last_look(sight, model)}"
        return Found({**data, "points": []}, missing=f"{model}: no value of {spec.metric} is known: {said}")
    window = (known[0].window_start, known[-1].window_end)
    cited = tuple(dict.fromkeys((known[-1].run_id, known[0].run_id)))
    items = numbered([_point(row) for row in reversed(rows)], cursor)
    return Found(
        data, items, lambda points: {"points": points}, window=window, n=known[-1].n, unit=spec.metric, evidence=cited
    )


def _whole_model(sight: Sight, spec: ModelSpec, monitor: str, span: Span) -> list[MeasurementRow]:
    query = select(MeasurementRow).where(
        MeasurementRow.model == spec.name,
        MeasurementRow.monitor == monitor,
        MeasurementRow.feature.is_(None),
        MeasurementRow.segment.is_(None),
        *timed(MeasurementRow.window_end, span),
    )
    return list(sight.session.scalars(query.order_by(MeasurementRow.window_end, MeasurementRow.id)))


def _change(known: Sequence[MeasurementRow]) -> dict[str, Any] | None:
    """From the first to the last value. The interval takes both as independent: none where their windows overlap."""
    if len(known) < 2 or known[0].value is None or known[-1].value is None:
        return None
    first, last = known[0], known[-1]
    difference = known[-1].value - known[0].value
    low = high = None
    bounds = (first.low, first.high, last.low, last.high)
    if last.window_start >= first.window_end and all(bound is not None for bound in bounds):
        low = difference - math.hypot(last.value - last.low, first.high - first.value)  # type: ignore[operator]
        high = difference + math.hypot(last.high - last.value, first.value - first.low)  # type: ignore[operator]
    return {
        "before": first.value,
        "after": last.value,
        "difference": difference,
        "low": low,
        "high": high,
        "before_window_end": first.window_end,
        "after_window_end": last.window_end,
    }


def _slices(sight: Sight, latest: MeasurementRow) -> list[dict[str, Any]]:
    """How far the mean loss of each segment is above its reference, worst first."""
    rows = sight.session.scalars(
        select(MeasurementRow).where(
            MeasurementRow.run_id == latest.run_id,
            or_(MeasurementRow.monitor == "performance.segment", MeasurementRow.monitor == "performance.loss"),
        )
    ).all()
    whole = next((row.value for row in rows if row.segment is None), None)
    slices = [row for row in rows if row.segment is not None]
    slices.sort(key=lambda row: -math.inf if row.value is None else row.value, reverse=True)
    return [
        {
            "segment": row.segment,
            "value": row.value,
            "low": row.low,
            "high": row.high,
            "n": row.n,
            "overall": whole,
            "unit": "rise of the mean loss against the reference",
            "status": row.status,
        }
        for row in slices[:20]
    ]
