"""The parts of a model's page that are fetched by themselves: what asks the registry, the log or a model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from agent.domain.errors import Conflict, Unavailable, WatchkeeperError
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import ModelName, RecordId, ServicesDep, Word
from agent.doors.console import chart_data, importance
from agent.doors.console.distributions import read_distributions
from agent.doors.console.model import seen
from agent.doors.console.page import fragment, render
from agent.doors.console.words import metric_name, number
from agent.doors.guard import CONTENT_POLICY
from agent.pipeline import deep_dive
from agent.store import queries
from ml.models.registry import CHAMPION, VersionInfo
from ml.spec import ModelSpec

MOST_VERSIONS = 8
MOST_TRIES = 5
FRAME_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; worker-src blob:; sandbox allow-scripts; frame-ancestors 'self'"
)
"""What Evidently's page may do: run its own scripts in an origin of its own, and reach nothing."""
Tries = Annotated[int, Query(ge=0, le=MOST_TRIES)]
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/models/{name}/feature", dependencies=[needs("viewer")])
def show_feature(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, of: Word = "", at: Word = ""
) -> Response:
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
        try:
            found = read_distributions(services, session, spec, of, _moment(at))
        except WatchkeeperError as error:
            return fragment(request, "model/failed.html", text=str(error))
    return fragment(request, "model/feature.html", found=found)


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


@router.get("/models/{name}/versions", dependencies=[needs("viewer")])
def show_versions(request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName) -> Response:
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
        ledger = queries.deployments(session, name)
    try:
        infos = services.registry.versions(name)
    except WatchkeeperError as error:
        return fragment(request, "model/failed.html", text=str(error))
    kept = infos[:MOST_VERSIONS]
    return fragment(
        request, "model/versions.html", name=name, versions=kept, more=len(infos) - len(kept),
        lines=compared(spec, kept), charts=_metric_charts(spec, kept),
        since={one["version"]: one["timestamp"] for one in ledger},
    )  # fmt: skip


def compared(spec: ModelSpec, versions: list[VersionInfo]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Groups of lines, a cell for each version; a line whose cells differ is what one looks for."""
    metrics = sorted(
        {name for info in versions for name in info.metrics if "." not in name}, key=lambda n: n != spec.metric
    )
    parameters = sorted({name for info in versions for name in info.params})

    def interval(info: VersionInfo, name: str) -> str:
        if name not in info.metrics:
            return "–"
        low, high = info.metrics.get(f"{name}.low"), info.metrics.get(f"{name}.high")
        bounds = f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""
        return f"{number(info.metrics[name])}{bounds}"

    origin = [
        ("made", [info.created_at.isoformat() for info in versions]),
        ("data version", [info.data_version or "–" for info in versions]),
        ("code version", [info.code_version or "–" for info in versions]),
        ("made from", [f"version {info.parent_version}" if info.parent_version else "–" for info in versions]),
        ("proposal", [info.proposal or "–" for info in versions]),
    ]
    return [
        ("On held-out rows", [(metric_name(name), [interval(info, name) for info in versions]) for name in metrics]),
        ("Where it comes from", origin),
        ("Parameters", [(name, [info.params.get(name, "–") for info in versions]) for name in parameters]),
    ]


def _metric_charts(spec: ModelSpec, versions: list[VersionInfo]) -> tuple[dict[str, Any], str] | None:
    known = [info for info in versions if spec.metric in info.metrics]
    if not known:
        return None
    values = [
        [chart_data.plain(info.metrics.get(key)) for key in (spec.metric, f"{spec.metric}.low", f"{spec.metric}.high")]
        for info in known
    ]
    marked = next((i for i, info in enumerate(known) if CHAMPION in info.aliases), -1)
    names = [f"version {info.version}{' (champion)' if i == marked else ''}" for i, info in enumerate(known)]
    data = {"names": names, "values": values, "metric": metric_name(spec.metric), "marked": marked}
    better = "higher" if spec.higher_is_better else "lower"
    told = "; ".join(f"{name}: {number(value[0])}" for name, value in zip(names, values, strict=True))
    name = metric_name(spec.metric)
    return data, f"{name[:1].upper()}{name[1:]} on each version's own held-out rows, {better} is better: {told}."


@router.get("/models/{name}/importance", dependencies=[needs("viewer")])
def show_importance(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, of: Word = "", again: Tries = 0
) -> Response:
    """Of the version that answers, now and in the reference; `of=versions`: of it and its rival."""
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
    try:
        if of == "versions":
            return fragment(request, "model/drivers.html", shares=importance.compared(request, services, spec))
        found = importance.drivers_of(request, services, spec)
    except (Conflict, Unavailable) as error:
        return fragment(
            request, "model/later.html", name=name, of=of, text=str(error), again=again + 1, most=MOST_TRIES
        )
    except WatchkeeperError as error:
        return fragment(request, "model/failed.html", text=str(error))
    if found is None:
        return fragment(request, "model/importance.html", shares=None, version=None, method="")
    chart = chart_data.shares(found.now, found.then, "latest window", "reference")
    version = importance.champion_of(services, name)
    return fragment(request, "model/importance.html", shares=chart, version=version, method=found.method)


@router.post("/models/{name}/deep-dive", dependencies=[needs("operator", "propose")])
def start_dive(request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName) -> Response:
    with services.store.read() as session:
        spec = seen(services, session, principal, name)
    deep_dive.start(services, spec, services.wall())
    if request.headers.get("hx-request"):
        return show_dives(request, services, principal, name)
    return RedirectResponse(f"/models/{name}#dives", 303)


@router.get("/models/{name}/deep-dives", dependencies=[needs("viewer")])
def show_dives(request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName) -> Response:
    with services.store.read() as session:
        seen(services, session, principal, name)
    return fragment(request, "model/dives.html", name=name, dives=deep_dive.of_model(services, name)[:3])


@router.get("/models/{name}/deep-dives/{id}", dependencies=[needs("viewer")])
def show_dive(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, id: RecordId
) -> Response:
    """The page itself, as Evidently wrote it: in an origin of its own, that reaches nothing."""
    with services.store.read() as session:
        seen(services, session, principal, name)
    path = deep_dive.page_of(services, name, id)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": FRAME_POLICY})


@router.get("/models/{name}/deep-dive/{id}", dependencies=[needs("viewer")])
def show_dive_page(
    request: Request, services: ServicesDep, principal: PrincipalDep, name: ModelName, id: RecordId
) -> Response:
    with services.store.read() as session:
        seen(services, session, principal, name)
        deep_dive.page_of(services, name, id)
        page = render(request, "model/dive.html", session=session, name=name, id=id)
    page.headers["content-security-policy"] = f"{CONTENT_POLICY}; frame-src 'self'"
    return page
