"""`doctor`, `audit verify`, `db upgrade`: keeping it healthy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agent.commands.output import console
from agent.domain.errors import InvalidInput, Unavailable, WatchkeeperError
from agent.pipeline.services import Services
from agent.settings import Settings, load_settings
from agent.store import audit, migrate
from agent.store.session import Store


def verify_audit(services: Services) -> dict[str, Any]:
    with services.store.read() as session:
        events, fault = audit.verify(session)
    return {"whole": fault is None, "events": events, "fault": fault and {"seq": fault.seq, "what": fault.what}}


def render_audit(item: dict[str, Any]) -> None:
    if item["whole"]:
        console.print(f"[green]Whole[/]: {item['events']} events, each bound to all before it.")
    else:
        console.print(f"[red]Broken[/]: {item['fault']['what']}. The {item['events']} events before it are whole.")


def upgrade_database(home: Path | None) -> dict[str, Any]:
    store = Store(load_settings(home=home).database_url)
    before, newest = migrate.revisions(store)
    migrate.upgrade(store)
    return {"from": before, "to": newest, "changed": before != newest}


def render_upgraded(item: dict[str, Any]) -> None:
    console.print(
        f"The database is at revision {item['to']}"
        + (f" (was {item['from'] or 'empty'})." if item["changed"] else " already.")
    )


def diagnose_workspace(home: Path | None) -> dict[str, Any]:
    """Every part, one after the other: is it there, and what cures it where it is not."""
    settings = load_settings(home=home)
    checks = [
        _check("workspace", lambda: _writable(settings), "choose a folder that you may write to"),
        _check("database", lambda: _database(settings), "run `watchkeeper db upgrade`; see WATCHKEEPER_DATABASE_URL"),
        _check("policy", lambda: _policy(settings), "see docs/how-to/approvals.md"),
        _check(
            "registry",
            lambda: _registry(settings),
            "see WATCHKEEPER_MLFLOW_URI; PostgreSQL needs postgresql+psycopg://",
        ),
        _check("log", lambda: _log(settings), "see WATCHKEEPER_LOG_URI"),
        _check("specs", lambda: _specs(settings), "mend the spec, then `watchkeeper model add`"),
    ]
    codes = [check["exit_code"] for check in checks if not check["ok"]]
    return {"home": settings.home, "checks": checks, "exit_code": max(codes, default=0)}


def _check(name: str, probe: Any, cure: str) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "says": probe(), "cure": "", "exit_code": 0}
    except WatchkeeperError as error:
        code = 2 if isinstance(error, InvalidInput) else 3
        return {"name": name, "ok": False, "says": str(error), "cure": cure, "exit_code": code}


def _writable(settings: Settings) -> str:
    if not os.access(settings.home, os.W_OK):
        raise Unavailable(f"{settings.home} cannot be written to.")
    return str(settings.home)


def _database(settings: Settings) -> str:
    store = Store(settings.database_url)
    migrate.require_current(store)
    return f"{store.describe()} at revision {migrate.revisions(store)[0]}"


def _policy(settings: Settings) -> str:
    from agent.domain.policy import load_policy

    people = load_policy(settings.policy_file).people
    if not people:
        raise InvalidInput(f"{settings.policy_file} names nobody, so nothing can be approved.")
    return f"{len(people)} may decide: {', '.join(sorted(people))}"


def _registry(settings: Settings) -> str:
    from ml.models.registry import Registry

    Registry(settings.mlflow_uri).ping()
    return settings.mlflow_uri.partition("://")[0]


def _log(settings: Settings) -> str:
    from ml.data.prediction_log import PredictionLog

    PredictionLog(settings.log_uri).version("doctor")
    return settings.log_uri


def _specs(settings: Settings) -> str:
    from ml.spec import load_spec

    found = sorted(settings.models.glob("*.yaml"))
    for path in found:
        load_spec(path)
    return f"{len(found)} in {settings.models.name}/"


def render_doctor(item: dict[str, Any]) -> None:
    for check in item["checks"]:
        mark = "[green]ok[/]  " if check["ok"] else "[red]bad[/] "
        console.print(f"{mark}{check['name']:<10} {check['says']}")
        if not check["ok"]:
            console.print(f"               cure: {check['cure']}")
