"""One model: how it does, how its inputs move, what drives it, its versions, and what may be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.doors.access import Principal, PrincipalDep, needs, require_sight
from agent.doors.api.inputs import ModelName, ServicesDep, Word
from agent.doors.console import chart_data
from agent.doors.console.charts import Point, sparkline
from agent.doors.console.forms import Form, person_of
from agent.doors.console.page import render
from agent.doors.console.watch import book_of
from agent.doors.console.watching import ModelRow
from agent.pipeline import deep_dive
from agent.pipeline.requested import Requests
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Incident, MeasurementRow, MonitorRun, Proposal
from ml.results import Status
from ml.spec import ModelSpec
from tools.actions import CHARACTER, ActionKind
from tools.context import Wanted

RANGES = {"30": "30 looks", "90": "90 looks", "365": "365 looks", "1500": "all"}
INCIDENTS = 8
SLICES = 40
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
ASKED = (ActionKind.RETRAIN, ActionKind.RECALIBRATE, ActionKind.ROLLBACK, ActionKind.PROMOTE)
"""What may be asked for on this page; the rest has pages of its own."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One segment: its loss at the latest look against the reference, and how it went."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    current: float | None
    usual: float | None
    n: int
    status: str
    detail: str
    trend: Markup


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that may be asked for, with what it does; `live` is the proposal of its kind that waits already."""

    kind: str
    risk_note: str
    live: Proposal | None
    versions: list[str]


@dataclass(frozen=True, slots=True)
class ModelPage:
    spec: ModelSpec
    row: ModelRow
    run: MonitorRun | None
    metric: tuple[dict[str, Any], str] | None
    loss: tuple[dict[str, Any], str] | None
    estimate: tuple[dict[str, Any], str] | None
    estimate_says: str
    late: str
    heat: tuple[dict[str, Any], str] | None
    columns: list[str]
    slices: list[Slice]
    ledger: list[dict[str, Any]]
    incidents: Sequence[Incident]
    offers: list[Offer]
    looks: str


def seen(services: Services, session: Session, principal: Principal, name: str) -> ModelSpec:
    """The spec of a model that may be seen. Raises: NotFound."""
    require_sight(principal, name, f"There is no model {name!r}; the watch shows those that there are.")
    return queries.spec_of(session, name)


def read_model(
    services: Services, session: Session, row: ModelRow, spec: ModelSpec, looks: str, principal: Principal
) -> ModelPage:
    """The page, from the database alone."""
    ledger = queries.deployments(session, spec.name)
    incidents = session.scalars(
        select(Incident).where(Incident.model == spec.name).order_by(Incident.opened_at.desc(), Incident.id)
    ).all()
    most = int(looks)
    losses = chart_data.metric_series(session, spec, "performance.loss", most)
    estimates = chart_data.metric_series(session, spec, "estimation.loss", most)
    labels = chart_data.metric_series(session, spec, "performance.labels", 1)
    return ModelPage(
        spec=spec,
        row=row,
        run=queries.latest_run(session, spec.name),
        metric=chart_data.performance(session, spec, most, ledger, incidents),
        loss=chart_data.series(losses, name="error above the usual", better="lower", ledger=ledger),
        estimate=chart_data.series(estimates, name="estimated error above the usual", better="lower", ledger=ledger),
        estimate_says=estimates[-1].detail if estimates else "",
        late=labels[-1].detail if labels else "",
        heat=chart_data.heat(session, spec),
        columns=chart_data.columns_of(session, spec),
        slices=_slices(session, spec),
        ledger=ledger[::-1],
        incidents=incidents[:INCIDENTS],
        offers=_offers(session, spec, ledger) if principal.may("operator", "propose") else [],
        looks=looks,
    )


def _slices(session: Session, spec: ModelSpec) -> list[Slice]:
    row = MeasurementRow
    here = (row.model == spec.name, row.monitor == "performance.segment", row.segment.is_not(None))
    since = select(row.window_end).where(*here).distinct().order_by(row.window_end.desc()).limit(chart_data.LOOKS)
    ends = list(session.scalars(since))
    if not ends:
        return []
    found: dict[str, list[MeasurementRow]] = {}
    for one in session.scalars(select(row).where(*here, row.window_end >= ends[-1]).order_by(row.window_end, row.id)):
        found.setdefault(one.segment or "", []).append(one)
    slices = [_slice(name, rows) for name, rows in found.items()]
    slices.sort(
        key=lambda one: (one.status != Status.BREACH, -(one.value if one.value is not None else -1e9), one.name)
    )
    return slices[:SLICES]


def _slice(name: str, rows: list[MeasurementRow]) -> Slice:
    last = next((one for one in reversed(rows) if one.value is not None), rows[-1])
    points = [Point(one.window_end, one.value, one.low, one.high, one.status == Status.BREACH) for one in rows]
    return Slice(
        name,
        last.value,
        last.low,
        last.high,
        last.facts.get("current"),
        last.facts.get("reference"),
        last.n,
        last.status,
        last.detail,
        sparkline("error above the usual", points),
    )


def _offers(session: Session, spec: ModelSpec, ledger: list[dict[str, Any]]) -> list[Offer]:
    live = {row.kind: row for row in queries.live_proposals(session, spec.name)}
    champion = ledger[-1]["version"] if ledger else None
    before = [version for version in dict.fromkeys(one["version"] for one in reversed(ledger)) if version != champion]
    kinds = [kind for kind in ASKED if kind is not ActionKind.RECALIBRATE or spec.task == "binary"]
    return [
        Offer(kind, CHARACTER[kind].blast_radius, live.get(kind), before if kind is ActionKind.ROLLBACK else [])
        for kind in kinds
        if kind is not ActionKind.ROLLBACK or before
    ]


@router.get("/models", dependencies=[needs("viewer")])
def all_models() -> Response:
    return RedirectResponse("/", 307)


@router.get("/models/{name}", dependencies=[needs("viewer")])
def show_model(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, looks: Word = "90"
) -> Response:
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
        now, replayed = services.now(session), queries.control(session).replayed_now is not None
        row = next(one for one in book_of(request).read(session, now, replayed) if one.name == name)
        view = read_model(services, session, row, spec, looks if looks in RANGES else "90", principal)
        dives = deep_dive.of_model(services, name)[:3]
        return render(request, "model.html", session=session, m=view, ranges=RANGES, dives=dives)


@router.post("/models/{name}/propose", dependencies=[needs("operator", "propose")])
def propose_here(services: ServicesDep, principal: PrincipalDep, name: ModelName, form: Form) -> Response:
    kind = form.get("kind", "")
    wanted = Wanted(ActionKind(kind) if kind in ASKED else ActionKind.NO_ACTION, name, form.get("to_version") or None)
    caller = replace(principal.caller, name=person_of(principal, form))
    made = Requests(services).propose(wanted, form.get("why", ""), caller)
    return RedirectResponse(f"/approvals/{made['id']}", 303)


@router.get("/models/{name}/incidents", dependencies=[needs("viewer")])
def its_incidents(name: ModelName) -> Response:
    return RedirectResponse(f"/incidents?model={name}", 307)
