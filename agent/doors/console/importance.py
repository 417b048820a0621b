"""What drives the answers of a model's versions: asked once for each version and look, then kept."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from agent.doors.console import chart_data
from agent.pipeline.model_process import Drivers, ModelProcess
from agent.pipeline.reference import reference_of
from agent.pipeline.services import Services
from agent.store import queries
from ml.models.registry import CHAMPION, VersionInfo
from ml.results import Window
from ml.spec import ModelSpec

ROWS = 2_000
MOST_KEPT = 500
Chart = tuple[dict[str, Any], str]


def process_of(request: Request, services: Services) -> ModelProcess:
    """The process of this application that asks models."""
    state = request.app.state
    process: ModelProcess | None = getattr(state, "model_process", None)
    if process is None:
        registry = services.registry
        process = state.model_process = ModelProcess(registry.uri, allow_pickle=registry.allow_pickle)
    return process


def two_of(infos: list[VersionInfo]) -> list[str]:
    """The champion, and who might replace it: the challenger, else the newest other version."""
    champion = [info.version for info in infos if CHAMPION in info.aliases]
    others = [info for info in infos if info.version not in champion]
    rival = next((info for info in others if "challenger" in info.aliases), others[0] if others else None)
    return champion + ([rival.version] if rival else [])


def drivers_of(request: Request, services: Services, spec: ModelSpec, version: str | None = None) -> Drivers | None:
    """Of a version, else of the one that answers now; None without a version or a look.

    Raises: Conflict while the process is busy, Unavailable when it is too slow, NotFound, DataError.
    """
    kept: dict[tuple[str, str, str], Drivers] | None = getattr(request.app.state, "importances", None)
    if kept is None:
        kept = request.app.state.importances = {}
    version = version or champion_of(services, spec.name)
    with services.store.read() as session:
        run = queries.latest_run(session, spec.name)
        if run is None or version is None:
            return None
        key = (spec.name, version, run.id)
        if key in kept:
            return kept[key]
        then = reference_of(services, session, spec, version, run.window_end).frame
        window = Window(run.window_start, run.window_end)
    now = services.log.read(spec, window, most=ROWS)
    if len(kept) >= MOST_KEPT:
        kept.clear()
    found = kept[key] = process_of(request, services).drivers(spec, version, then[:ROWS], now)
    return found


def champion_of(services: Services, name: str) -> str | None:
    """The version that answers now, by the ledger; else by the latest look."""
    with services.store.read() as session:
        ledger, run = queries.deployments(session, name), queries.latest_run(session, name)
    return str(ledger[-1]["version"]) if ledger else run.champion if run else None


def compared(request: Request, services: Services, spec: ModelSpec) -> Chart | None:
    """What drives the champion beside what drives its rival, on the rows of the latest look; None for one alone."""
    versions = two_of(services.registry.versions(spec.name))
    found = [drivers_of(request, services, spec, version) for version in versions]
    if len(found) < 2 or found[0] is None or found[1] is None:
        return None
    names = [f"version {version}" for version in versions]
    return chart_data.shares(found[0].now, found[1].now, names[0], names[1])
