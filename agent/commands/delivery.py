"""`delivery list|retry`, `preferences show|set`: what became of each message, and what people want to be told."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from agent.commands.output import console, table, when
from agent.commands.workspace import me
from agent.domain.errors import InvalidInput
from agent.pipeline import redeliver
from agent.pipeline.preferences import Wishes, everybody, set_wishes, wishes_of
from agent.pipeline.services import Services
from agent.store.tables import DELIVERY_STATES, Delivery, Outbox


def list_deliveries(services: Services, *, state: str | None, channel: str | None, limit: int) -> dict[str, Any]:
    """The latest deliveries, and how many there are in each state."""
    if state is not None and state not in DELIVERY_STATES:
        raise InvalidInput(f"--state: {state!r} is none of {', '.join(DELIVERY_STATES)}.")
    with services.store.read() as session:
        found = redeliver.deliveries(session, state=state, channel=channel, limit=limit)
        return {"counts": redeliver.counts(session), "deliveries": [_plain(row, event) for row, event in found]}


def render_deliveries(listed: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in listed["counts"].items())
    console.print(f"{counts or 'Nothing was sent yet'}.")
    if not listed["deliveries"]:
        return
    rows = table("id", "promised (UTC)", "state", "channel", "address", "tries", "message")
    for item in listed["deliveries"]:
        said = f"{item['title']}  ({item['error']})" if item["error"] else item["title"]
        state = f"{item['state']}: {item['why']}" if item["state"] == "held" else item["state"]
        place = item["address"] or "-"
        rows.add_row(item["id"], when(item["created_at"]), state, item["channel"], place, str(item["attempts"]), said)
    console.print(rows, markup=False)


def retry(services: Services, wanted: str | None, *, failed: bool, channel: str | None) -> dict[str, Any]:
    """Send one again, or all that failed."""
    if (wanted is None) == (not failed):
        raise InvalidInput("Name one delivery, or say --failed for all that failed.")
    if wanted is None:
        return {"again": redeliver.retry_failed(services, channel=channel, actor=me())}
    return {"again": 1, "id": redeliver.retry(services, wanted, actor=me()).id}


def render_retried(done: dict[str, Any]) -> None:
    console.print(
        f"{done['again']} sent again by the next worker; `watchkeeper delivery list` shows what becomes of it."
    )


def show_preferences(services: Services, person: str | None) -> dict[str, Any]:
    """What one person wants, or what everybody wants."""
    with services.store.read() as session:
        if person is None:
            return {name: asdict(wishes) for name, wishes in everybody(session).items()}
        wishes = wishes_of(session, person)
        return {person: asdict(wishes)} if wishes is not None else {}


def render_preferences(found: dict[str, Any]) -> None:
    if not found:
        console.print("Nobody has said what they want to be told; `watchkeeper preferences set --mail …` does.")
        return
    rows = table("person", "where", "from", "models", "quiet hours", "digest")
    for name, item in found.items():
        where = ", ".join(f"{channel} {address}" for channel, address in item["channels"].items()) or "nowhere"
        quiet = f"{item['quiet']} {item['time_zone']}" if item["quiet"] else "-"
        digest = "each at once" if item["digest"] == "0" else f"every {item['digest']}"
        rows.add_row(name, where, item["severity"], " ".join(item["models"]), quiet, digest)
    console.print(rows, markup=False)


def set_preferences(services: Services, person: str | None, changes: dict[str, Any]) -> dict[str, Any]:
    """Change what is given, keep the rest. An empty address takes a channel away."""
    name = person or me()
    with services.store.write() as session:
        before = wishes_of(session, name) or Wishes()
        channels = {**before.channels, **changes.pop("channels")}
        kept = {key: value for key, value in changes.items() if value is not None}
        wishes = replace(before, channels={key: value for key, value in channels.items() if value}, **kept)
        set_wishes(services, session, name, wishes)
    return show_preferences(services, name)


def _plain(row: Delivery, event: Outbox) -> dict[str, Any]:
    own = ("id", "channel", "address", "person", "state", "why", "attempts", "error", "created_at", "next_try_at",
           "delivered_at", "told_by", "sent")  # fmt: skip
    said = ("key", "kind", "title", "model", "severity", "subject")
    return {**{name: getattr(row, name) for name in own}, **{name: getattr(event, name) for name in said}}
