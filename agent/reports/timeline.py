"""The audit as a story: each event of an incident and of its proposals, in order, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.wording import DONE, in_order_to, visible
from agent.reports.shape import Happening
from agent.store.tables import AuditEvent

ECHOES = frozenset(
    {"incident waiting", "incident acting", "incident verifying", "proposal rejected", "proposal verifying"}
)


def timeline(session: Session, subjects: Sequence[str]) -> list[Happening]:
    """The events of these records in the order they were written; what is said again is counted, not repeated."""
    lines: list[Happening] = []
    events = session.scalars(select(AuditEvent).where(AuditEvent.subject.in_(subjects)).order_by(AuditEvent.seq))
    for event in events:
        line = Happening(
            seq=event.seq,
            at=event.at,
            actor=event.actor,
            event=event.event,
            subject=event.subject,
            text=_told(event),
            minor=event.event in ECHOES,
        )
        same = next((i for i in range(len(lines) - 1, max(len(lines) - 3, -1), -1) if _alike(lines[i], line)), None)
        if same is None:
            lines.append(line)
        else:
            lines[same] = lines[same].model_copy(update={"times": lines[same].times + 1, "until": line.at})
    return lines


def _alike(one: Happening, other: Happening) -> bool:
    return (one.actor, one.event, one.subject, one.text) == (other.actor, other.event, other.subject, other.text)


def _told(event: AuditEvent) -> str:
    data, reason = event.data, visible(event.data.get("reason") or "")
    match event.event:
        case "incident open":
            return f"Incident opened: {visible(data.get('detail') or data.get('monitor') or 'an alert')}"
        case "incident diagnosed" if data.get("from") in ("open", "diagnosed"):
            return f"Diagnosed: {reason}"
        case "incident diagnosed":
            return f"Back to diagnosis: {reason}"
        case "incident waiting":
            return "The incident waits for a decision"
        case "incident acting":
            return "The action was released"
        case "incident verifying":
            return "The effect is being watched"
        case "incident resolved":
            return f"Closed: {reason}"
        case "proposal pending":
            return f"Proposed: {in_order_to(data.get('action') or {})}"
        case "decision approve":
            return _because("Approved", reason)
        case "decision reject":
            return _because("Rejected", reason)
        case "proposal approved":
            return "Enough approvals: released for execution"
        case "proposal executing":
            return "Execution started"
        case "proposal executed":
            return f"Executed{_switched(data)}"
        case "proposal verifying":
            return "Verification started"
        case "proposal succeeded" | "proposal failed" | "proposal inconclusive":
            verdict = event.event.removeprefix("proposal ")
            return f"Verification {verdict}: {visible(data.get('statement') or reason or 'no statement')}"
        case "execution taken over":
            return "Another worker took the execution over"
    return _because(f"{visible(event.event[:1].upper() + event.event[1:], 80)}", reason)


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what


def _switched(data: Mapping[str, Any]) -> str:
    switch = (data.get("results") or {}).get("switch") or {}
    if not switch.get("to"):
        return ""
    return f": version {visible(switch['to'], 40)} replaced version {visible(switch.get('from') or 'none', 40)}"


def noun(kind: str) -> str:
    """The action as a noun: `rollback`, `retraining`."""
    return DONE.get(kind, visible(kind, 40))
