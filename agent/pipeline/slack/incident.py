"""The card at the top of an incident's thread: it edits itself with every state."""

from __future__ import annotations

from typing import Any

from agent.domain.incident import IncidentState
from agent.domain.proposal import ProposalState
from agent.domain.wording import in_order_to, percent, words
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.approval import STATES, capital, trial_line
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.records import IncidentView
from agent.pipeline.slack.text import bold, code, console, disarmed, link, said, when

S = IncidentState
SEVERITY = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
STEPS: tuple[tuple[IncidentState, str], ...] = (
    (S.OPEN, "seen"),
    (S.DIAGNOSED, "diagnosed"),
    (S.WAITING, "waits for a decision"),
    (S.ACTING, "acting"),
    (S.VERIFYING, "checking"),
    (S.RESOLVED, "resolved"),
)
DETAIL, STATEMENT = 300, 500


def incident_card(view: IncidentView, public_url: str = "") -> dict[str, Any]:
    """The message as the incident is now."""
    incident = view.incident
    over = incident.state == S.RESOLVED
    icon = "✅" if over else SEVERITY.get(incident.severity, "🔵")
    name = incident.model or "outside alert"
    title = f"{disarmed(name, 60)}: {disarmed(incident.title, 200)}"
    parts: list[Block] = [
        kit.header(f"{icon} {title}"),
        kit.context(strip(S(incident.state))),
        kit.fields(
            [
                ("State", said(_state_words(view), 120)),
                ("Severity", said(incident.severity, 40)),
                ("Since", when(incident.opened_at)),
                ("Alerts", f"{view.count} ({view.firing} firing)"),
            ]
        ),
        *_found(view),
        kit.section(f"{bold('What happens now')}\n{_next(view)}"),
        kit.actions(
            [
                *_opens(public_url, f"/incidents/{incident.id}"),
                kit.button("Ask about it", "ask", incident.id),
            ],
            f"incident:{incident.id}",
        ),
        kit.context(link(console(public_url, f"/incidents/{incident.id}"), incident.id)),
    ]
    return kit.document(f"{icon} {said(name, 80)}: {said(incident.title, 300)} ({_state_words(view)})", parts)


def strip(state: IncidentState) -> str:
    """The way of an incident, and where it is.

    >>> strip(IncidentState.DIAGNOSED)[:34]
    'seen → *diagnosed* → waits for a d'
    """
    return " → ".join(bold(word) if step is state else word for step, word in STEPS)


def _opens(public_url: str, path: str) -> list[dict[str, Any]]:
    page = console(public_url, path)
    return [kit.button("Open in the console", "console", url=page)] if page else []


def _state_words(view: IncidentView) -> str:
    return dict(STEPS)[S(view.incident.state)]


def _found(view: IncidentView) -> list[Block]:
    made: list[Block] = []
    if view.alerts:
        lines = [f"• {said(alert.detail or alert.monitor, DETAIL)}" for alert in view.alerts]
        more = view.count - len(view.alerts)
        lines += [f"… and {more} more"] if more > 0 else []
        made.append(kit.section(f"{bold('What was seen')}\n" + "\n".join(lines)))
    if view.diagnosis is not None:
        made.append(kit.section(f"{bold('Most likely cause')}\n{cause_line(view)}"))
    return made


def cause_line(view: IncidentView) -> str:
    row = view.diagnosis
    if row is None:
        return "not diagnosed yet"
    since = f", since {when(row.onset)}" if row.onset else ""
    sure = f" ({percent(row.probability)} % sure)"
    why = (row.document.get("action") or {}).get("why", "")
    told = f"{said(capital(words(row.cause)), 200)}{sure}{since}"
    return f"{told}\n{said(capital(str(why)), STATEMENT)}" if why else told


def _next(view: IncidentView) -> str:
    """What is being done, or what a person has to do."""
    incident, latest = view.incident, view.proposals[-1] if view.proposals else None
    match S(incident.state):
        case S.OPEN:
            return "It is being diagnosed."
        case S.WAITING if view.waiting is not None:
            card = view.waiting.card
            tried = f"\nTrial: {trial_line(card.trial)}" if card.trial is not None else ""
            by = when(card.proposal.approve_by)
            asked = f"{bold('A decision is needed')} by {by}: {said(card.does, STATEMENT)}."
            return f"{asked} See the card in this thread.{tried}"
        case S.ACTING if latest is not None:
            return f"{STATES[ProposalState(latest.state)][1]}: {said(in_order_to(latest.action), STATEMENT)}."
        case S.VERIFYING if latest is not None:
            due = f" until {when(view.verification.due_at)} at the latest" if view.verification is not None else ""
            return f"Done: {said(in_order_to(latest.action), STATEMENT)}. What follows is compared{due}."
        case S.RESOLVED:
            return f"Resolved {when(incident.resolved_at)}. {said(incident.resolution, STATEMENT)}"
    if latest is not None and latest.state in (ProposalState.REJECTED, ProposalState.EXPIRED, ProposalState.FAILED):
        told = STATES[ProposalState(latest.state)][1]
        return f"{said(capital(in_order_to(latest.action)), STATEMENT)}: {told.lower()}. The watch goes on."
    return f"Nothing is proposed now. Ask here, or {code('watchkeeper incident show ' + incident.id, 120)}."
