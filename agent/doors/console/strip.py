"""The nine steps of the loop for one incident: done, at work, to come, not needed, or ended badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from agent.domain.incident import IncidentState
from agent.domain.proposal import ProposalState
from agent.domain.wording import words
from agent.store.tables import Alert, Approval, Diagnosis, Execution, Incident, Proposal, Report, Verification
from tools.actions import ActionKind

QUIET = (ActionKind.NO_ACTION, ActionKind.WAIT_FOR_LABELS)
"""Kinds that ask nobody anything."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. state: done | now | todo | none (not needed) | bad | unsure."""

    name: str
    state: str
    text: str = ""
    at: datetime | None = None


@dataclass
class Story:
    """The records of one incident that the strip and the pages read; `proposal` is the latest of `proposals`."""

    incident: Incident
    alerts: list[Alert] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    proposals: list[Proposal] = field(default_factory=list)
    approvals: dict[str, list[Approval]] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)
    report: Report | None = None

    @property
    def proposal(self) -> Proposal | None:
        return self.proposals[-1] if self.proposals else None


def steps(story: Story) -> list[Step]:
    """The strip, in the order of the loop."""
    incident = story.incident
    over = incident.state == IncidentState.RESOLVED
    count = len(story.alerts)
    return [
        Step("monitor", "done", "crossed a bound", incident.opened_at),
        Step("alert", "done", f"{count} alert{'' if count == 1 else 's'}" if count else "raised", incident.opened_at),
        Step("incident", "done", incident.severity, incident.opened_at),
        _diagnosis(story, over),
        *_action(story, over),
        Step("report", "done", "written", story.report.created_at) if story.report else Step("report", "todo"),
    ]


def _diagnosis(story: Story, over: bool) -> Step:
    found = story.diagnosis
    if found is None:
        return Step("diagnosis", "none" if over else "now")
    return Step("diagnosis", "done", words(found.cause), found.at)


def _action(story: Story, over: bool) -> list[Step]:
    proposal, found = story.proposal, story.diagnosis
    if proposal is None:
        return _nothing_proposed(found, over)
    first = Step("proposal", "done", proposal.kind.replace("_", " "), proposal.created_at)
    state = ProposalState(proposal.state)
    rest = [Step("execution", "todo"), Step("verification", "todo")]
    said = [a for a in story.approvals.get(proposal.id, []) if a.decision == "approve"]
    who = ", ".join(a.person for a in said)
    if state is ProposalState.PENDING:
        return [first, Step("decision", "now", f"{who} so far" if who else "waits for a person"), *rest]
    if proposal.approved_at is None:
        person = next((a.person for a in story.approvals.get(proposal.id, []) if a.decision == "reject"), "")
        text = f"{state} by {person}" if person else str(state)
        return [
            first,
            Step("decision", "bad", text, proposal.ended_at),
            Step("execution", "none"),
            Step("verification", "none"),
        ]
    decided = Step("decision", "done", f"approved by {who}", proposal.approved_at)
    return [first, decided, _execution(story, proposal, state), _verification(story, proposal, state)]


def _nothing_proposed(found: Diagnosis | None, over: bool) -> list[Step]:
    names = ("proposal", "decision", "execution", "verification")
    if found is None or (not over and found.action not in QUIET):
        return [Step(name, "none" if over else "todo") for name in names]
    escalated = bool(found.document.get("action", {}).get("escalate"))
    text = "a person should look" if escalated else found.action.replace("_", " ")
    return [
        Step("proposal", "unsure" if escalated else "none", text, found.at),
        *(Step(name, "none") for name in names[1:]),
    ]


def _execution(story: Story, proposal: Proposal, state: ProposalState) -> Step:
    run = story.executions.get(proposal.id)
    if run is None or state is ProposalState.APPROVED:
        return (
            Step("execution", "now", "about to start")
            if state is ProposalState.APPROVED
            else Step("execution", "none", str(state))
        )
    if run.state == "done":
        return Step("execution", "done", "" if run.seconds is None else f"in {run.seconds:.1f} s", proposal.approved_at)
    if run.state == "waiting":
        return Step("execution", "now", "released in stages")
    if run.state in ("ready", "running"):
        return Step("execution", "now", "at work")
    return Step("execution", "bad", "not done" if run.state == "failed" else run.state, proposal.ended_at)


def _verification(story: Story, proposal: Proposal, state: ProposalState) -> Step:
    watched = story.verifications.get(proposal.id)
    if watched is None:
        return Step(
            "verification",
            "none" if state in (ProposalState.FAILED, ProposalState.SUPERSEDED, ProposalState.EXPIRED) else "todo",
        )
    if watched.verdict is None:
        return Step("verification", "now", "watching later rows")
    kind = {"succeeded": "done", "failed": "bad"}.get(watched.verdict, "unsure")
    return Step("verification", kind, watched.verdict, watched.decided_at)
