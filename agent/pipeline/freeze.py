"""The kill switch: while it is on, no execution starts, in any process. One person turns it on, two turn it off."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.domain.policy import Policy, folded
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.tables import Control, UnfreezeRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """Who has asked to lift the kill switch, how many it takes, and who else could."""

    by: tuple[UnfreezeRequest, ...]
    needed: int
    could: tuple[str, ...]

    @property
    def missing(self) -> int:
        return max(self.needed - len(self.by), 0)


def freeze(services: Services, session: Session, *, person: str, reason: str) -> None:
    """Anyone may stop the machine; what others had asked towards lifting it lapses. Raises: InvalidInput."""
    if not reason.strip():
        raise InvalidInput("A freeze needs a --reason: it is what everybody else will see.")
    row, at = _locked(session), services.now(session)
    row.frozen, row.frozen_by, row.frozen_reason, row.frozen_at = True, person, reason, at
    session.execute(delete(UnfreezeRequest))
    audit.append(session, at=at, actor=person, event="frozen", subject="control", data={"reason": reason})


def unfreeze(services: Services, session: Session, *, person: str, reason: str) -> Asked:
    """Somebody's word that executions may start again; with the last one that it takes, they do.

    Raises: Conflict when it is not frozen, NotAllowed naming who may.
    """
    row, at, policy = _locked(session), services.now(session), services.policy()
    if not row.frozen:
        raise Conflict("Nothing is frozen.")
    eligible = who_may_unfreeze(policy)
    if person not in eligible:
        named = f"who may: {', '.join(eligible)}" if eligible else "approvals.yaml names nobody who may"
        raise NotAllowed(f"{person!r} may not lift the kill switch ({' or '.join(policy.unfreeze.roles)}); {named}.")
    if policy.unfreeze.reason and not reason.strip():
        raise InvalidInput("To lift the kill switch takes a --reason here: approvals.yaml says so.")
    known = session.get(UnfreezeRequest, person)
    if known is None:
        session.add(UnfreezeRequest(person=person, reason=reason, at=at))
    else:
        known.reason, known.at = reason, at
    session.flush()
    asked = who_asked(services, session)
    event = "unfreeze asked" if asked.missing else "unfrozen"
    data = {"reason": reason, "asked_by": [one.person for one in asked.by], "needed": asked.needed}
    audit.append(session, at=at, actor=person, event=event, subject="control", data={**data, "policy": policy.digest})
    if not asked.missing:
        row.frozen = False
        session.execute(delete(UnfreezeRequest))
    return asked


def who_may_unfreeze(policy: Policy) -> list[str]:
    return sorted(name for name, person in policy.people.items() if set(person.roles) & set(policy.unfreeze.roles))


def who_asked(services: Services, session: Session) -> Asked:
    """Requests count while their time to be decided lasts, and while those who made them still may."""
    policy = services.policy()
    eligible, oldest = who_may_unfreeze(policy), services.now(session) - policy.approval_expiry
    rows = session.scalars(select(UnfreezeRequest).order_by(UnfreezeRequest.at, UnfreezeRequest.person)).all()
    by = tuple(row for row in rows if row.person in eligible and row.at > oldest)
    asked = {folded(row.person) for row in by}
    could = tuple(name for name in eligible if folded(name) not in asked)
    return Asked(by, policy.unfreeze.approvals, could)


def next_step(asked: Asked) -> str:
    """What it still takes, in a sentence."""
    if not asked.missing:
        return "Executions start again."
    if asked.missing > len(asked.could):
        named = len(asked.by) + len(asked.could)
        return (
            f"Still frozen: it takes {asked.needed} people, and approvals.yaml names only {named} who may: "
            "name another there, or write `unfreeze: {approvals: 1}` if one person is to be enough."
        )
    return f"Still frozen: {asked.missing} more must ask for it; who can: {', '.join(asked.could)}."


def kill_switch(session: Session, *, hold: bool = False) -> str:
    """What the kill switch says; empty while it is off. `hold`: until this transaction ends, it stays as it is."""
    query = select(Control.frozen, Control.frozen_by, Control.frozen_at, Control.frozen_reason).where(Control.id == 1)
    row = session.execute(query.with_for_update(read=True) if hold else query).one()
    if not row.frozen:
        return ""
    since = f" since {row.frozen_at:%Y-%m-%d %H:%M} UTC" if row.frozen_at else ""
    return f"frozen by {row.frozen_by}{since}: {row.frozen_reason}"


def held_back(services: Services, session: Session, *, hold: bool = False) -> str:
    """Why nothing at all may be executed now: the kill switch, or a freeze of the policy. Empty when nothing does."""
    if said := kill_switch(session, hold=hold):
        return said
    if window := services.policy().freeze_at(services.now(session)):
        reason, until = window
        return f"approvals.yaml freezes executions until {until:%Y-%m-%d %H:%M} UTC: {reason}"
    return ""


def _locked(session: Session) -> Control:
    session.execute(select(Control.id).where(Control.id == 1).with_for_update())
    row = queries.control(session)
    session.refresh(row)
    return row
