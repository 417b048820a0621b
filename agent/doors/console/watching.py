"""Every model as the watch has it, in a dozen queries however many there are; read again only when a record changed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from markupsafe import Markup
from sqlalchemy import and_, func, select, union_all
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.domain.proposal import LIVE, ProposalState
from agent.doors.console.charts import Mark, Point, Span, sparkline
from agent.pipeline.happenings import mark
from agent.store import queries
from agent.store.tables import Deployment, Incident, MeasurementRow, Model, MonitorRun, Proposal
from ml.results import Status
from ml.spec import ModelSpec

Item = TypeVar("Item")
LOOKS = 60
AT_ONCE = 50
"""Models whose points are asked for in one query."""
MOODS = ("waiting", "attention", "acting", "stale", "new", "good")
"""From what needs a person most to what needs nobody."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model. mood: one of `MOODS`. drifted: used columns beyond their bound at the latest look, of `compared`;
    `moved` is the one that moved most, with its PSI."""

    name: str
    task: str
    metric: str
    owner: str
    mood: str
    says: str
    value: float | None
    low: float | None
    high: float | None
    threshold: float | None
    breach: bool
    no_data: str
    chart: Markup
    drifted: int
    compared: int
    moved: str
    psi: float | None
    looked: datetime | None
    rows: int
    champion: str | None
    since: datetime | None
    incident: str | None
    title: str
    severity: str
    waits: str | None
    waits_for: str

    @property
    def urgency(self) -> tuple[int, str]:
        return MOODS.index(self.mood), self.name


@dataclass
class Book:
    """What was read last, for whoever asks before anything changed. One for an application."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    key: object = None
    rows: tuple[ModelRow, ...] = ()
    trends: dict[str, tuple[object, tuple[Sequence[Point], str, Markup]]] = field(default_factory=dict)

    def read(self, session: Session, now: datetime, replayed: bool) -> tuple[ModelRow, ...]:
        """Every model, by name."""
        known = session.scalar(select(func.count()).select_from(Model))
        key = (mark(session), known, now.replace(second=0, microsecond=0))
        with self.lock:
            if self.key != key:
                self.rows = tuple(_read(session, now, replayed, self.trends))
                self.key = key
            return self.rows


def _read(session: Session, now: datetime, replayed: bool, trends: dict[str, tuple[object, Any]]) -> Iterable[ModelRow]:
    specs = queries.specs(session)
    latest = select(MonitorRun.model, func.max(MonitorRun.window_end).label("end")).group_by(MonitorRun.model)
    newest = latest.subquery()
    same = and_(MonitorRun.model == newest.c.model, MonitorRun.window_end == newest.c.end)
    runs = {run.model: run for run in session.scalars(select(MonitorRun).join(newest, same))}
    open_now = {
        row.model: row for row in session.scalars(select(Incident).where(Incident.state != IncidentState.RESOLVED))
    }
    live = _first_of(
        session.scalars(select(Proposal).where(Proposal.state.in_(LIVE)).order_by(Proposal.created_at, Proposal.id))
    )
    ledgers, spans = _ledgers(session), _spans(session)
    drifts = _drifts(session, [run.id for run in runs.values()])
    keys = {
        name: (runs[name].id if name in runs else "", len(ledgers[name]), tuple(spans[name]), spec.metric)
        for name, spec in specs.items()
    }
    stale = [name for name in specs if name not in trends or trends[name][0] != keys[name]]
    points = _points(session, {name: specs[name].metric for name in stale})
    for name in stale:
        series, no_data = points.get(name, ([], ""))
        marks = [Mark(row.at, f"version {row.version} ({row.kind})") for row in ledgers[name]]
        drawn = sparkline(specs[name].metric, series, marks, [Span(*span) for span in spans[name]])
        trends[name] = (keys[name], (series, no_data, drawn))
    for name, spec in specs.items():
        run, incident, waiting = runs.get(name), open_now.get(name), live.get(name)
        series, no_data, chart = trends[name][1]
        last = next((point for point in reversed(series) if point.value is not None), None)
        age = None if replayed or run is None else now - run.window_end
        mood, says = mood_of(spec, run is not None, age, incident, waiting)
        drifted, compared, moved, psi = drifts.get(run.id if run else "", (0, 0, "", None))
        ledger = ledgers[name]
        pending = waiting is not None and waiting.state == ProposalState.PENDING
        yield ModelRow(
            name=name,
            task=spec.task,
            metric=spec.metric,
            owner=spec.owner,
            mood=mood,
            says=says,
            value=last.value if last else None,
            low=last.low if last else None,
            high=last.high if last else None,
            threshold=last.threshold if last else None,
            breach=bool(last and last.breach),
            no_data=no_data,
            chart=chart,
            drifted=drifted,
            compared=compared,
            moved=moved,
            psi=psi,
            looked=run.window_end if run else None,
            rows=run.rows if run else 0,
            champion=ledger[-1].version if ledger else (run.champion if run else None),
            since=ledger[-1].at if ledger else None,
            incident=incident.id if incident else None,
            title=incident.title if incident else "",
            severity=incident.severity if incident else "",
            waits=waiting.id if waiting and pending else None,
            waits_for=waiting.kind if waiting and pending else "",
        )


def mood_of(
    spec: ModelSpec, looked: bool, age: timedelta | None, incident: Incident | None, live: Proposal | None
) -> tuple[str, str]:
    """A mood and its words. `age` is None where the clock is replayed: it jumps between the years of stories."""
    if live is not None and live.state == ProposalState.PENDING:
        return "waiting", "waits for a decision"
    if incident is not None:
        if incident.state == IncidentState.ACTING:
            return "acting", "an action is being carried out"
        if incident.state == IncidentState.VERIFYING:
            return "acting", "watching whether it helped"
        return "attention", f"incident {incident.state}"
    if not looked:
        return "new", "not looked at yet"
    if age is not None and age > 3 * spec.every + timedelta(minutes=5):
        return "stale", "not looked at for a while"
    return "good", "quiet"


def _first_of(proposals: Iterable[Proposal]) -> dict[str, Proposal]:
    """One for each model: what waits for a person, else the oldest."""
    found: dict[str, Proposal] = {}
    for row in proposals:
        if row.model not in found or (row.state == ProposalState.PENDING != found[row.model].state):
            found[row.model] = row
    return found


def _ledgers(session: Session) -> Mapping[str, list[Deployment]]:
    found: dict[str, list[Deployment]] = defaultdict(list)
    for row in session.scalars(select(Deployment).order_by(Deployment.at, Deployment.id)):
        found[row.model].append(row)
    return found


def _spans(session: Session) -> Mapping[str, list[tuple[datetime, datetime | None]]]:
    found: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    query = select(Incident.model, Incident.opened_at, Incident.resolved_at).order_by(Incident.opened_at)
    for model, start, end in session.execute(query):
        found[model].append((start, end))
    return found


def _drifts(session: Session, runs: Sequence[str]) -> dict[str, tuple[int, int, str, float | None]]:
    """Of each run: columns beyond their bound, columns compared, and the one that moved most of those beyond."""
    row = MeasurementRow
    found: dict[str, tuple[int, int, str, float | None]] = {}
    for part in _by(400, runs):
        here = (row.run_id.in_(part), row.monitor.startswith("drift."), row.value.is_not(None))
        for run, compared in session.execute(select(row.run_id, func.count()).where(*here).group_by(row.run_id)):
            found[run] = (0, compared, "", None)
        beyond = select(row.run_id, row.feature, row.value).where(*here, row.status == Status.BREACH)
        for run, feature, value in session.execute(beyond.order_by(row.run_id, row.value)):
            drifted, compared, _, _ = found[run]
            found[run] = (drifted + 1, compared, feature or "", value)
    return found


def _points(session: Session, wanted: Mapping[str, str]) -> dict[str, tuple[list[Point], str]]:
    """The headline metric of the last looks, oldest first; and why the newest has none, where it has none."""
    row = MeasurementRow
    found: dict[str, tuple[list[Point], str]] = {}
    for part in _by(AT_ONCE, list(wanted.items())):
        each = [
            select(
                select(row.model, row.window_end, row.value, row.low, row.high, row.threshold, row.status, row.detail)
                .where(
                    row.model == name,
                    row.monitor == f"performance.{metric}",
                    row.feature.is_(None),
                    row.segment.is_(None),
                )
                .order_by(row.window_end.desc())
                .limit(LOOKS)
                .subquery()
            )
            for name, metric in part
        ]
        series: dict[str, list[Any]] = defaultdict(list)
        for one in session.execute(union_all(*each) if len(each) > 1 else each[0]):
            series[one.model].append(one)
        for name, rows in series.items():
            rows.sort(key=lambda one: one.window_end)
            points = [
                Point(one.window_end, one.value, one.low, one.high, one.status == Status.BREACH, one.threshold)
                for one in rows
            ]
            found[name] = (points, rows[-1].detail if rows[-1].value is None else "")
    return found


def _by(most: int, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[at : at + most] for at in range(0, len(items), most))
