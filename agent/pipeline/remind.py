"""Remind people of what waits for them: at half of the time to decide, at nine tenths, and then each by name.

Each is promised under a key of its own, so that it is sent once, however many processes look and however often.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.proposal import ProposalState
from agent.domain.wording import in_order_to, length, moment
from agent.pipeline.release import standing_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.changes import promise
from agent.store.tables import Identity, Model, Outbox, Person, Proposal

SHARES = (0.9, 0.5)
"""Of the time to decide, the latest first: who looks late sends one reminder, not two."""
ESCALATE_AT = 0.9


def remind_due(services: Services) -> int:
    """Promise the reminders that are due; how many."""
    with services.store.read() as session:
        now = services.now(session)
        pending = select(Proposal.id, Proposal.created_at, Proposal.approve_by).where(
            Proposal.state == ProposalState.PENDING, Proposal.approve_by > now
        )
        due = []
        for wanted, since, until in session.execute(pending.order_by(Proposal.approve_by)):
            share = next((share for share in SHARES if now >= at_share(since, until, share)), None)
            if share is not None and not _told(session, wanted, share):
                due.append((wanted, share))
    return sum(_remind(services, wanted, share) for wanted, share in due)


def at_share(since: datetime, until: datetime, share: float) -> datetime:
    """The moment when a share of the time to decide has passed."""
    return since + timedelta(seconds=(until - since).total_seconds() * share)


def _told(session: Session, wanted: str, share: float) -> bool:
    return session.scalar(select(Outbox.id).where(Outbox.key == key_of(wanted, share))) is not None


def key_of(wanted: str, share: float) -> str:
    """
    >>> key_of("p-1", 0.5)
    'reminder:p-1:50'
    """
    return f"reminder:{wanted}:{round(share * 100)}"


def _remind(services: Services, wanted: str, share: float) -> int:
    with services.store.write() as session:
        proposal, now = session.get_one(Proposal, wanted), services.now(session)
        if proposal.state != ProposalState.PENDING or _told(session, wanted, share):
            return 0
        standing = standing_of(services, session, proposal)
        known = session.get(Model, proposal.model) is not None
        owner = queries.spec_of(session, proposal.model).owner if known else ""
        left = length(proposal.approve_by - now)
        names = ", ".join(standing.could) or "nobody in approvals.yaml"
        body = (
            f"{in_order_to(proposal.action)}: it expires {moment(proposal.approve_by)}, in {left}. "
            f"{standing.missing} more approval(s) needed; who can give one: {names}.\n"
            f"Decide: watchkeeper approve {proposal.id}, or reject {proposal.id} --reason …"
        )
        promise(
            session,
            key=key_of(wanted, share),
            recipient=owner or "approvers",
            title=f"{proposal.model}: {proposal.kind} still waits for a decision",
            body=body,
            subject=proposal.id,
            at=now,
            document={"share": share, "broadcast": share >= ESCALATE_AT},
        )
        if share >= ESCALATE_AT:
            for person in standing.could:
                _escalate(session, proposal, person, body, now)
        return 1 + (len(standing.could) if share >= ESCALATE_AT else 0)


def _escalate(session: Session, proposal: Proposal, person: str, body: str, now: datetime) -> None:
    """To one who could decide: in Slack where they are linked, and wherever else they want to be told."""
    linked = session.scalar(
        select(Identity.key)
        .join(Person, Identity.person_id == Person.id)
        .where(Identity.kind == "slack", Person.name == person, Person.active.is_(True))
        .order_by(Identity.id)
    )
    promise(
        session,
        key=f"escalation:{proposal.id}:{person}",
        recipient=linked.rpartition("/")[2] if linked else person,
        title=f"{proposal.model}: {proposal.kind} waits for your decision",
        body=body,
        subject=proposal.id,
        at=now,
        document={"person": person},
    )
