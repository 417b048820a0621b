"""Reminders that somebody has to decide: in the thread, to those who can; then to each of them directly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline.event import Event
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.approval import button_value, capital, needs_console
from agent.pipeline.slack.records import ApprovalView
from agent.pipeline.slack.text import bold, console, link, said, when
from agent.store.tables import Identity, Person

MOST_CALLED = 10


def reminder_card(
    session: Session, event: Event, view: ApprovalView, public_url: str, *, direct: bool = False
) -> dict[str, Any]:
    """A reminder. Who could decide and is linked is called by name; a direct one calls nobody else."""
    card = view.card
    proposal = card.proposal
    who = "You can decide" if direct else ", ".join(callings(session, view.standing.could)) + " can decide"
    need = f"{view.standing.missing} more approval(s) needed of {card.needed}"
    icon = "🚨" if event.kind == "escalation" else "⏰"
    does = f"{said(capital(card.does), 600)}, for {said(proposal.model, 80)}"
    text = (
        f"{icon} {bold('Still waits for a decision')}: {does}.\nIt expires {when(proposal.approve_by)}; {need}. {who}."
    )
    value, page = button_value(proposal), console(public_url, f"/approvals/{proposal.id}")
    buttons = [kit.button("Details", "details", value), kit.button("Reject…", "reject", value)]
    if not needs_console(proposal.risk):
        sure = kit.confirmation("Approve?", f"{capital(card.does)}, for {proposal.model}?", "Approve")
        buttons.insert(0, kit.button("Approve", "approve", value, style="primary", confirm=sure))
    elif page:
        buttons.insert(0, kit.button("Approve in the console", "console", url=page, style="primary"))
    parts = [kit.section(text), kit.actions(buttons, f"remind:{proposal.id}"), kit.context(link(page, proposal.id))]
    document = kit.document(f"{icon} {said(proposal.model, 80)}: {said(card.does, 300)} still waits.", parts)
    if event.document.get("broadcast"):
        document["reply_broadcast"] = True
    return document


def callings(session: Session, names: Iterable[str]) -> list[str]:
    """People as Slack calls them, where they are linked; else by name."""
    wanted = list(names)
    rows = session.execute(
        select(Person.name, Identity.key)
        .join(Identity, Identity.person_id == Person.id)
        .where(Identity.kind == "slack", Person.active.is_(True), Person.name.in_(wanted))
        .order_by(Identity.id)
    ).all()
    users = {name: key.rpartition("/")[2] for name, key in rows}
    called = [f"<@{users[name]}>" if name in users else said(name, 60) for name in wanted[:MOST_CALLED]]
    more = len(wanted) - len(called)
    return [*(called or ["nobody in `approvals.yaml`"]), *([f"{more} more"] if more > 0 else [])]
