"""The kill switch: while it is on, no execution starts, in any process."""

from __future__ import annotations

from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.pipeline.services import Services
from agent.store import audit, queries


def freeze(services: Services, session: Session, *, person: str, reason: str) -> None:
    """Anyone may stop the machine. Raises: InvalidInput without a reason."""
    if not reason.strip():
        raise InvalidInput("A freeze needs a --reason: it is what everybody else will see.")
    row = queries.control(session)
    row.frozen, row.frozen_by, row.frozen_reason, row.frozen_at = True, person, reason, services.now(session)
    audit.append(
        session, at=services.now(session), actor=person, event="frozen", subject="control", data={"reason": reason}
    )


def unfreeze(services: Services, session: Session, *, person: str, reason: str) -> None:
    """Only a person of approvals.yaml may start it again. Raises: Conflict when it is not frozen, NotAllowed."""
    row = queries.control(session)
    if not row.frozen:
        raise Conflict("Nothing is frozen.")
    if person not in services.policy().people:
        raise NotAllowed(f"{person!r} is not among the people of approvals.yaml, so cannot unfreeze.")
    row.frozen = False
    audit.append(
        session, at=services.now(session), actor=person, event="unfrozen", subject="control", data={"reason": reason}
    )
