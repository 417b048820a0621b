"""`doctor`, `audit verify`, `db upgrade`: keeping it healthy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agent.commands import messages
from agent.commands.output import console
from agent.domain.errors import InvalidInput, Unavailable, WatchkeeperError
from agent.pipeline.services import Services
from agent.settings import Settings, load_settings
from agent.store import audit, migrate
from agent.store.session import Store
from agent.store.tables import AuditHead


def verify_audit(services: Services, against: Path | None = None) -> dict[str, Any]:
    """Walk the chain; `against`: an export made before, which the chain must still contain.

    Raises: InvalidInput when the export cannot be read, or was itself changed.
    """
    kept = _exported(against) if against else {}
    with services.store.read() as session:
        found = audit.verify(session, kept)
    faults = [{"seq": fault.seq, "what": fault.what} for fault in found.faults]
    return {
        "whole": found.whole,
        "events": found.events,
        "end": {"seq": found.seq, "hash": found.hash},
        "compared_with_export": len(kept) if against else None,
        "fault": faults[0] if faults else None,
        "faults": faults,
    }


def _exported(path: Path) -> dict[int, str]:
    try:
        with path.open(encoding="utf-8") as lines:
            kept, fault = audit.kept_hashes(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); `watchkeeper audit export FILE` makes one.") from None
    if fault is not None:
        raise InvalidInput(f"{path}: {fault.what}; use a copy of the export that nobody has touched.")
    return kept


def render_audit(item: dict[str, Any]) -> None:
    if item["whole"]:
        console.print(f"[green]Whole[/]: {item['events']} events, each bound to all before it.")
        if item["compared_with_export"] is not None:
            console.print(f"The {item['compared_with_export']} events of the export are all there, unchanged.")
        console.print(f"Its end: event {item['end']['seq']}, {item['end']['hash']}", style="dim")
        return
    console.print(f"[red]Broken[/] in {len(item['faults'])} place(s), {item['events']} events are there:")
    for fault in item["faults"]:
        console.print(f"  {fault['what']}", markup=False)


def export_audit(services: Services, path: Path) -> dict[str, Any]:
    """Write every event as a line of JSON, to be kept where whoever can write the database cannot.

    Raises: InvalidInput when there is such a file already, or it cannot be written.
    """
    events, end = 0, audit.GENESIS
    try:
        with services.store.read() as session, path.open("x", encoding="utf-8") as file:
            for line in audit.export(session):
                file.write(line + "\n")
                events += 1
            found = session.get(AuditHead, 1)
            end = found.hash if found else end
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror}); give the name of a new file.") from None
    return {"file": path.resolve(), "events": events, "end": end}


def render_exported(item: dict[str, Any]) -> None:
    console.print(f"{item['events']} events in {item['file']}. Keep it away from this database; later,")
    console.print(f"  watchkeeper audit verify --against {item['file']}")
    console.print("shows that nothing of it was changed or taken away.")


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
        *([_check("cluster", lambda: _cluster(settings), "see WATCHKEEPER_CLUSTER")] if settings.cluster else []),
        _check("specs", lambda: _specs(settings), "mend the spec, then `watchkeeper model add`"),
        _check("messages", lambda: messages.summary(settings), "`watchkeeper doctor messages` says more"),
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
    from agent.domain.policy import Rule, load_policy
    from tools.actions import Risk

    policy = load_policy(settings.policy_file)
    people = policy.people
    if not people:
        raise InvalidInput(f"{settings.policy_file} names nobody, so nothing can be approved.")
    rules = {f"{risk} risk": policy.risk.get(risk, Rule()) for risk in Risk}
    rules |= {str(kind): rule for kind, rule in policy.actions.items()} | {"lifting the kill switch": policy.unfreeze}
    short = [
        f"{what} takes {rule.approvals}, and {len(able)} may"
        for what, rule in rules.items()
        if len(able := [name for name, person in people.items() if set(person.roles) & set(rule.roles)])
        < rule.approvals
    ]
    told = f"{len(people)} may decide: {', '.join(sorted(people))}"
    return "; ".join([told, *short])


def _registry(settings: Settings) -> str:
    from ml.models.registry import Registry

    Registry(settings.mlflow_uri).ping()
    return settings.mlflow_uri.partition("://")[0]


def _log(settings: Settings) -> str:
    from ml.data.prediction_log import PredictionLog

    PredictionLog(settings.log_uri).version("doctor")
    return settings.log_uri


def _cluster(settings: Settings) -> str:
    from ml.data.cluster import map_parts

    map_parts(settings.cluster, len, [settings.log_uri])
    return settings.cluster


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
