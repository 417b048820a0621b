"""Who may decide on a proposal, how many are still needed, what holds it back; and by which rule of the policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from agent.domain.deciding import Outcome, Request, Standing, When, approves_itself, may_decide
from agent.domain.policy import Policy, Rule
from agent.domain.proposal import ProposalState
from agent.pipeline.freeze import held_back
from agent.pipeline.release import given_on, request_of, standing_of, start_of
from agent.pipeline.services import Services
from agent.store.tables import Proposal


@dataclass(frozen=True, slots=True)
class Word:
    """One person: whether they may decide, why or why not, and what they have said."""

    allowed: bool
    reason: str
    said: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the policy says about one proposal, as it is now."""

    proposal: str
    state: str
    risk: str
    rule: Rule
    rule_from: str
    standing: Standing
    still_needed: int
    people: dict[str, Word]
    held_back: str
    until: datetime | None
    says: str
    policy: str


def explain(services: Services, session: Session, proposal: Proposal, person: str | None = None) -> Explanation:
    """Everybody of the policy, or only `person`."""
    policy, request = services.policy(), request_of(proposal)
    said = {one.person: one.decision for one in given_on(session, proposal)}
    names = sorted(policy.people) if person is None else [person]
    answers = {name: may_decide(policy, request, name) for name in names}
    found = standing_of(services, session, proposal)
    waits = proposal.state == ProposalState.PENDING
    held, until = _held_back(services, session, proposal)
    return Explanation(
        proposal=proposal.id,
        state=proposal.state,
        risk=str(request.risk),
        rule=policy.rule(request.kind, request.risk),
        rule_from=_rule_from(policy, request),
        standing=found,
        still_needed=found.missing if waits else 0,
        people={name: Word(answer.allowed, answer.reason, said.get(name)) for name, answer in answers.items()},
        held_back=held,
        until=until,
        says=_says(policy, request, proposal, found, held),
        policy=policy.digest,
    )


def _held_back(services: Services, session: Session, proposal: Proposal) -> tuple[str, datetime | None]:
    """Why it would not start now; before it is approved, only what holds everything back."""
    if proposal.state == ProposalState.PENDING:
        return held_back(services, session), None
    if proposal.state != ProposalState.APPROVED:
        return "", None
    start = start_of(services, session, proposal)
    return ("", None) if start.when is When.NOW else (start.reason, start.until)


def _rule_from(policy: Policy, request: Request) -> str:
    if request.kind in policy.actions:
        return f"actions.{request.kind}"
    return f"risk.{request.risk}" if request.risk in policy.risk else "the default: nothing is written for this risk"


def _says(policy: Policy, request: Request, proposal: Proposal, found: Standing, held: str) -> str:
    if proposal.state == ProposalState.APPROVED:
        return f"It is approved; it waits: {held}." if held else "It is approved, and a worker may start it now."
    if proposal.state != ProposalState.PENDING:
        return f"It is {proposal.state}; there is nothing left to decide."
    if approves_itself(policy, request):
        return "The policy approves it itself (auto_approve), with the next watch."
    if found.outcome is Outcome.APPROVED:
        return "Enough people have approved it for the policy as it is now; the next approval releases it."
    enough = found.missing <= len(found.could)
    could = f" who can: {', '.join(found.could)}." if found.could else ""
    return f"{found.why[:1].upper()}{found.why[1:]};{could}" if enough and could else f"{found.why}."
