"""Cards follow the records: what the audit says of their subjects is promised as updates, through the outbox.

The audit is read from where the last look ended, so that nothing is missed and nothing is said twice, whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.notifying import SLACK, UPDATE
from agent.domain.proposal import LIVE
from agent.pipeline.services import Services
from agent.pipeline.slack.posts import cards_of
from agent.store.changes import promise
from agent.store.tables import AuditEvent, AuditHead, Proposal, SlackFollowed

BATCH = 200
CONTROL = "control"


def follow(services: Services) -> int:
    """Promise an update of every card that something was recorded about since the last look; how many."""
    if SLACK not in services.channels:
        return 0
    promised = 0
    while (count := _follow_some(services)) is not None:
        promised += count
    return promised


def _follow_some(services: Services) -> int | None:
    with services.store.read() as session:
        head = session.scalar(select(AuditHead.seq).where(AuditHead.id == 1)) or 0
        row = session.get(SlackFollowed, 1)
        if row is not None and row.seq >= head:
            return None
    with services.store.write() as session:
        row = session.get(SlackFollowed, 1, with_for_update=True)
        if row is None:  # the first look begins at the present: there is no card yet
            session.add(SlackFollowed(id=1, seq=head))
            return None
        query = select(AuditEvent).where(AuditEvent.seq > row.seq).order_by(AuditEvent.seq).limit(BATCH)
        events = session.scalars(query).all()
        if not events:
            return None
        count = sum(_promise(session, services, event) for event in events)
        row.seq = events[-1].seq
        return count


def _promise(session: Session, services: Services, event: AuditEvent) -> int:
    subjects = _subjects(session, event)
    if not subjects:
        return 0
    addresses = dict.fromkeys(card.address for card in cards_of(session, subjects))
    subject = subjects[0]
    for address in addresses:
        for one in subjects if event.subject == CONTROL else [subject]:
            promise(
                session,
                key=f"{UPDATE}:{event.seq}:{one}:{address}",
                kind=UPDATE,
                recipient=address,
                title=f"{one}: {event.event}",
                body=str(event.data.get("reason", "")),
                subject=one,
                at=services.now(session),
                document={"seq": event.seq},
            )
    return len(addresses)


def _subjects(session: Session, event: AuditEvent) -> Sequence[str]:
    """The incident or the proposal that an event is about, then what else its card may stand under."""
    if event.subject == CONTROL:
        return list(session.scalars(select(Proposal.id).where(Proposal.state.in_(LIVE)).order_by(Proposal.id)))
    if event.subject.startswith("i-"):
        return [event.subject]
    if not event.subject.startswith("p-"):
        return []
    incident = session.scalar(select(Proposal.incident_id).where(Proposal.id == event.subject))
    return list(_without_none([event.subject, incident]))


def _without_none(values: Iterable[str | None]) -> Iterable[str]:
    return (value for value in values if value)
