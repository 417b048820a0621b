"""`cancel`: take back what was approved, as long as no version is switched."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console, styled
from agent.commands.workspace import me
from agent.pipeline.cancel import cancel
from agent.pipeline.services import Services


def command(services: Services, wanted: str, *, person: str | None, reason: str) -> dict[str, Any]:
    """Cancel as a person; what the proposal became."""
    with services.store.write() as session:
        row = cancel(services, session, wanted, person=person or me(), reason=reason)
        return {"id": row.id, "state": row.state, "by": person or me(), "reason": reason}


def render(item: dict[str, Any]) -> None:
    if item["state"] == "executing":
        console.print(f"Proposal {item['id']}: its worker ends it within seconds; nothing has been switched.")
    else:
        console.print(f"Proposal {item['id']} is {styled(item['state'])}; it never runs.")
