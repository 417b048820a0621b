"""`report`: a page about an incident, or about the watch over a period, in the formats asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.commands.output import console
from agent.commands.workspace import me
from agent.conversation.narrate import TEMPLATE, narrate
from agent.domain.errors import InvalidInput, Unavailable
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.reports.facts import incident_facts, period_facts
from agent.reports.render import FORMATS, render
from agent.store import queries
from agent.store.tables import Incident, Report
from ml.spec import parse_duration


def command(
    services: Services,
    *,
    model: str | None = None,
    incident: str | None = None,
    period: str = "7d",
    formats: Sequence[str] = ("html", "md"),
    out: Path | None = None,
) -> dict[str, Any]:
    """Write a report into `out` (default: `reports` in the workspace), one file for each format.

    Raises: InvalidInput for an unknown format or period, NotFound, Unavailable when a file cannot be written.
    """
    wanted = _formats(formats)
    facts, name = _facts(services, model, incident, period)
    closed = facts.get("resolved_at") is not None  # what was kept is not told anew
    if not services.llm.offline and not closed:
        told = narrate(desk_of(services), facts, person=me())
        facts = {**facts, "summary": told.labelled, "summary_by": told.by}
    folder = services.home / "reports" if out is None else out
    texts = {folder / f"{name}.{kind}": render(facts, kind) for kind in wanted}
    for path, text in texts.items():
        _write(path, text)
    return {
        "report": name,
        "summary": facts["summary"],
        "summary_by": facts.get("summary_by", TEMPLATE),
        "files": [str(path) for path in texts],
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


def _facts(services: Services, model: str | None, incident: str | None, period: str) -> tuple[dict[str, Any], str]:
    at = services.now()
    try:
        span = parse_duration(period)
        start = at - span
    except (ValueError, OverflowError):
        raise InvalidInput(f"--period {period!r} is not a length of time; write 24h, 7d or 4w.") from None
    if start >= at:
        raise InvalidInput(f"--period {period!r} is no time at all; write 24h, 7d or 4w.")
    with services.store.read() as session:
        if incident is None:
            facts = period_facts(session, model=model, start=start, end=at)
            return facts.to_json(), f"watch-{model or 'all'}-{start:%Y%m%dT%H%M}-{at:%Y%m%dT%H%M}"
        row = queries.by_id(session, Incident, incident)
        if model is not None and row.model != model:
            raise InvalidInput(f"Incident {row.id} is of {row.model!r}, not of {model!r}; leave --model away.")
        stored = _stored(session, row)
        return (incident_facts(session, row, at=at).to_json() if stored is None else stored), f"incident-{row.id}"


def _stored(session: Session, incident: Incident) -> dict[str, Any] | None:
    """The facts that were kept when the incident closed: a report says the same whenever it is printed."""
    return session.scalar(select(Report.facts).where(Report.incident_id == incident.id))


def _write(path: Path, text: str) -> None:
    """The whole file or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
        draft.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror}); choose another folder with --out.") from None
