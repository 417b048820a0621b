"""`silence list`, `silence end`: alerts that open no incident for a while."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console, table, when
from agent.commands.workspace import me
from agent.pipeline import silence
from agent.pipeline.services import Services
from agent.store.tables import Silence


def list_silences(services: Services, *, past: bool) -> list[dict[str, Any]]:
    """What is silent now, or all that ever was."""
    with services.store.read() as session:
        return [_plain(row) for row in silence.every(session, services.now(session), past=past)]


def end_silence(services: Services, wanted: str, *, person: str | None, reason: str) -> dict[str, Any]:
    """End one as a person."""
    return _plain(silence.end(services, wanted, person=person or me(), reason=reason))


def _plain(row: Silence) -> dict[str, Any]:
    names = ("id", "model", "monitor", "feature", "since", "until", "reason", "ended_at", "ended_by")
    return {**{name: getattr(row, name) for name in names}, "proposal": row.proposal_id}


def render_silences(items: list[dict[str, Any]]) -> None:
    if not items:
        console.print("Nothing is silenced.")
        return
    rows = table("id", "model", "monitor", "feature", "until (UTC)", "why", "proposal")
    for item in items:
        until = f"{when(item['ended_at'])} ({item['ended_by']})" if item["ended_at"] else when(item["until"])
        rows.add_row(
            item["id"],
            item["model"],
            item["monitor"] or "all",
            item["feature"] or "all",
            until,
            item["reason"],
            item["proposal"],
        )
    console.print(rows)


def render_ended(item: dict[str, Any]) -> None:
    console.print(f"Silence {item['id']} of {item['model']} has ended; alerts open incidents again.")
