"""A decision that comes through a door of the web: in the name of who is signed in, fresh where the risk is high."""

from __future__ import annotations

from agent.doors.principal import Principal, acting, require_fresh
from agent.pipeline import approve as decisions
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Proposal
from tools.actions import Risk


def approve(
    services: Services, principal: Principal, wanted: str, *, said: str | None, reason: str, digest: str | None
) -> Proposal:
    """Approve as who asks. Raises: SignInAgain, and as `agent.pipeline.approve.approve`."""
    person = acting(principal, said)
    with services.store.read() as session:
        risk = queries.by_id(session, Proposal, wanted).risk
    if risk == Risk.HIGH:
        require_fresh(principal)
    return decisions.approve(services, wanted, person=person, reason=reason, digest=digest)


def reject(
    services: Services, principal: Principal, wanted: str, *, said: str | None, reason: str, digest: str | None
) -> Proposal:
    """Reject as who asks. Raises: as `agent.pipeline.approve.reject`."""
    return decisions.reject(services, wanted, person=acting(principal, said), reason=reason, digest=digest)
