"""`report`: an incident, the watch over a period, a comparison or a model card, in the formats asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.commands.output import console
from agent.commands.workspace import me
from agent.conversation.narrate import TEMPLATE
from agent.domain.errors import InvalidInput, Unavailable
from agent.pipeline.reporting import KINDS, LENGTH, Kind, Wanted, gather, told
from agent.pipeline.services import Services
from agent.reports.facts import incident_facts
from agent.reports.render import FORMATS, render_file
from agent.store import queries
from agent.store.tables import Incident, Report
from ml.spec import parse_duration


def command(
    services: Services,
    *,
    model: str | None = None,
    incident: str | None = None,
    period: str = "",
    formats: Sequence[str] = ("html", "md"),
    out: Path | None = None,
    kind: str = "",
    version: str | None = None,
) -> dict[str, Any]:
    """Write a report into `out` (default: `reports` in the workspace), one file for each format.

    Raises: InvalidInput for an unknown kind, format or period, NotFound, Unavailable when a file cannot be written.
    """
    wanted = _formats(formats)
    facts, name = _facts(services, model, incident, period, kind, version)
    closed = facts.get("resolved_at") is not None  # what was kept is not told anew
    if not closed:
        facts = told(services, facts, person=me())
    folder = services.home / "reports" if out is None else out
    files = {folder / f"{name}.{format}": render_file(facts, format) for format in wanted}
    for path, content in files.items():
        _write(path, content)
    return {
        "report": name,
        "summary": facts["summary"],
        "summary_by": facts.get("summary_by", TEMPLATE),
        "files": [str(path) for path in files],
    }


def render_written(written: dict[str, Any]) -> None:
    """For a person: what it says, and where it is."""
    console.print(written["summary"], markup=False)
    for path in written["files"]:
        console.print(path, style="dim", markup=False)


def _formats(given: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(f.strip().lower() for f in given if f.strip()))
    if not wanted:
        raise InvalidInput(f"--format names no format; the formats are {', '.join(FORMATS)}.")
    if unknown := [f for f in wanted if f not in FORMATS]:
        raise InvalidInput(f"There is no report format {unknown[0]!r}; the formats are {', '.join(FORMATS)}.")
    return wanted


def _facts(
    services: Services, model: str | None, incident: str | None, period: str, kind: str, version: str | None
) -> tuple[dict[str, Any], str]:
    if kind not in ("", *KINDS):
        raise InvalidInput(f"There is no kind of report {kind!r}; the kinds are {', '.join(KINDS)}.")
    at = services.now()
    start = at - _span(period, kind)
    if incident is not None:
        return _incident(services, model, incident)
    named: Kind = kind or "period"  # type: ignore[assignment]
    facts = gather(services, Wanted(named, model=model, start=start, end=at, version=version))
    if named == "card":
        return facts, f"card-{model}-version-{facts['version']}"
    name = {"period": "watch"}.get(named, named)
    return facts, f"{name}-{model or 'all'}-{start:%Y%m%dT%H%M}-{at:%Y%m%dT%H%M}"


def _span(period: str, kind: str) -> timedelta:
    """How far back: what is written, else as long as the kind is, else a week."""
    if not period:
        return LENGTH.get(kind, timedelta(days=30 if kind == "comparison" else 7))
    try:
        span = parse_duration(period)
        datetime.now(UTC) - 2 * span  # a comparison reaches twice as far
    except (ValueError, OverflowError):
        raise InvalidInput(f"--period {period!r} is not a length of time; write 24h, 7d or 4w.") from None
    if span <= timedelta(0):
        raise InvalidInput(f"--period {period!r} is no time at all; write 24h, 7d or 4w.")
    return span


def _incident(services: Services, model: str | None, incident: str) -> tuple[dict[str, Any], str]:
    with services.store.read() as session:
        row = queries.by_id(session, Incident, incident)
        if model is not None and row.model != model:
            raise InvalidInput(f"Incident {row.id} is of {row.model!r}, not of {model!r}; leave --model away.")
        stored = _stored(session, row)
        facts = incident_facts(session, row, at=services.now(session)).to_json() if stored is None else stored
        return facts, f"incident-{row.id}"


def _stored(session: Session, incident: Incident) -> dict[str, Any] | None:
    """The facts that were kept when the incident closed: a report says the same whenever it is printed."""
    return session.scalar(select(Report.facts).where(Report.incident_id == incident.id))


def _write(path: Path, content: bytes) -> None:
    """The whole file or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror}); choose another folder with --out.") from None
