"""App Home: what waits for me, what happened lately, the latest reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.deciding import may_decide
from agent.domain.incident import IncidentState
from agent.pipeline.freeze import held_back
from agent.pipeline.propose import waiting
from agent.pipeline.release import request_of
from agent.pipeline.services import Services
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.approval import button_value, capital, needs_console
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.incident import SEVERITY, STEPS
from agent.pipeline.slack.records import ApprovalView, read_approval
from agent.pipeline.slack.report import report_line
from agent.pipeline.slack.text import bold, code, console, link, said, when
from agent.store.tables import Incident, Person, Report

MOST_WAITING, MOST_INCIDENTS, MOST_REPORTS = 12, 8, 5
HOW_TO_LINK = (
    "I do not know yet who you are here. Get a code in the console (Settings), or with "
    "`watchkeeper user link-code YOUR-NAME`, then type `/watch link CODE`."
)


def home_view(
    services: Services, session: Session, person: Person | None, sees: Callable[[str], bool], why_not: str = ""
) -> dict[str, Any]:
    """The page of one person; `why_not`: why somebody sees nothing here."""
    if why_not:
        return {"type": "home", "blocks": [kit.section(said(why_not, 1000))]}
    parts: list[Block] = []
    if frozen := held_back(services, session):
        parts.append(kit.section(f"🧊 {bold('Nothing is executed now')}: {said(frozen, 600)}"))
    if person is None:
        parts.append(kit.context(HOW_TO_LINK))
    mine, others = _queue(services, session, person, sees)
    parts.append(kit.header("Waits for you"))
    parts += _cards(mine, services.public_url) or [kit.section("Nothing waits for you.")]
    if others:
        parts.append(kit.header("Waits for others"))
        parts += [kit.section(_line(view, services.public_url)) for view in others[:MOST_WAITING]]
    parts += [kit.header("Lately"), *_incidents(session, sees, services.public_url)]
    parts += [kit.header("Reports"), *_reports(session, sees, services.public_url)]
    return {"type": "home", "blocks": kit.fitted(parts, kit.HOME_BLOCKS)}


def _queue(
    services: Services, session: Session, person: Person | None, sees: Callable[[str], bool]
) -> tuple[list[ApprovalView], list[ApprovalView]]:
    """What this person may still decide on, and what others may."""
    mine: list[ApprovalView] = []
    others: list[ApprovalView] = []
    policy = services.policy()
    for row in waiting(session):
        if not sees(row.model):
            continue
        view = read_approval(services, session, row)
        decided = person is not None and any(one.person == person.name for one in view.card.approvals)
        may = person is not None and may_decide(policy, request_of(row), person.name).allowed
        (mine if may and not decided else others).append(view)
    return mine, others


def _cards(views: Sequence[ApprovalView], public_url: str) -> list[Block]:
    made: list[Block] = []
    for view in views[:MOST_WAITING]:
        made += [kit.section(_line(view, public_url)), kit.actions(decide_buttons(view, public_url))]
    if (more := len(views) - MOST_WAITING) > 0:
        made.append(kit.context(f"… and {more} more; `/watch approvals` and the console show all."))
    return made


def decide_buttons(view: ApprovalView, public_url: str) -> list[dict[str, Any]]:
    proposal, value = view.card.proposal, button_value(view.card.proposal)
    buttons = [kit.button("Reject…", "reject", value), kit.button("Details", "details", value)]
    page = console(public_url, f"/approvals/{proposal.id}")
    if not needs_console(proposal.risk):
        sure = kit.confirmation("Approve?", f"{capital(view.card.does)}, for {proposal.model}?", "Approve")
        buttons.insert(0, kit.button("Approve", "approve", value, style="primary", confirm=sure))
    elif page:
        buttons.insert(0, kit.button("Approve in the console", "console", url=page, style="primary"))
    return buttons


def _line(view: ApprovalView, public_url: str) -> str:
    card = view.card
    name = link(console(public_url, f"/approvals/{card.proposal.id}"), card.proposal.id)
    have = f"{card.needed - view.standing.missing} of {card.needed} approvals"
    does = said(capital(card.does), 400)
    return (
        f"{bold(said(card.proposal.model, 80))}: {does}\n{name} · {said(card.proposal.risk, 20)} risk · {have} · "
        f"decide by {when(card.proposal.approve_by)}"
    )


def queue_lines(services: Services, session: Session, sees: Callable[[str], bool]) -> list[ApprovalView]:
    """Everything that waits for a decision, as far as it may be seen."""
    return [read_approval(services, session, row) for row in waiting(session) if sees(row.model)]


def waiting_line(view: ApprovalView, public_url: str) -> str:
    return _line(view, public_url)


def _incidents(session: Session, sees: Callable[[str], bool], public_url: str) -> list[Block]:
    rows = session.scalars(select(Incident).order_by(Incident.opened_at.desc(), Incident.id).limit(50)).all()
    lines = [incident_line(row, public_url) for row in rows if not row.model or sees(row.model)][:MOST_INCIDENTS]
    return [kit.section(line) for line in lines] or [kit.section("No incident yet.")]


def incident_line(row: Incident, public_url: str) -> str:
    icon = "✅" if row.state == IncidentState.RESOLVED else SEVERITY.get(row.severity, "🔵")
    state = dict(STEPS)[IncidentState(row.state)]
    name = link(console(public_url, f"/incidents/{row.id}"), row.id)
    return f"{icon} {code(row.model or 'outside', 60)} {said(row.title, 200)}\n{name} · {state} · {when(row.opened_at)}"


def _reports(session: Session, sees: Callable[[str], bool], public_url: str) -> list[Block]:
    rows = session.scalars(select(Report).order_by(Report.created_at.desc(), Report.id).limit(30)).all()
    seen = [row for row in rows if row.model is None or sees(row.model)][:MOST_REPORTS]
    lines = [f"{report_line(row, public_url)} · {when(row.created_at)}" for row in seen]
    return [kit.section("\n".join(lines))] if lines else [kit.section("No report yet.")]
