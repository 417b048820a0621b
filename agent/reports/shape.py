"""What a report knows. Every number that any format shows stands here, rounded as it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agent.reports.judged import Worth
from agent.reports.pictured import Chart, Point


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Span(_Part):
    """A length of time, and how it is written."""

    seconds: float
    text: str


class Milestones(_Part):
    """When what happened; None where it has not, or is not known."""

    onset: datetime | None = None
    detected: datetime | None = None
    diagnosed: datetime | None = None
    proposed: datetime | None = None
    decided: datetime | None = None
    executed: datetime | None = None
    recovered: datetime | None = None
    closed: datetime | None = None


class Durations(_Part):
    """How long it took, each from the moment before; `recover` counts from detection."""

    detect: Span | None = None
    decide: Span | None = None
    execute: Span | None = None
    recover: Span | None = None


class Effect(_Part):
    """The metric around an incident.

    `before` is the latest look within its threshold before it began, `during` the worst one until the action (or now),
    `at_close` the latest when it was closed. `gain` is the fall of the loss of a row, which verification judges by.
    """

    name: str
    better: Literal["lower", "higher"]
    before: Point | None = None
    during: Point | None = None
    at_close: Point | None = None
    after: float | None = None
    do_nothing: float | None = None
    n: int | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    worth: Worth | None = None


class Evidence(_Part):
    id: str
    kind: str = ""
    statement: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""
    source: str = ""


class CauseFacts(_Part):
    cause: str
    meaning: str
    percent: int
    features: list[str] = []
    segment: str | None = None
    onset: datetime | None = None
    supports: list[str] = []
    contradicts: list[str] = []


class RuledOut(_Part):
    what: str
    why: str
    evidence: list[str] = []


class DiagnosisFacts(_Part):
    id: str
    at: datetime
    window_start: datetime
    window_end: datetime
    verdict: str
    causes: list[CauseFacts]
    action: str
    why: str
    escalated: bool = False
    evidence: list[Evidence]
    ruled_out: list[RuledOut] = []
    not_checked: list[RuledOut] = []
    made: int = 1
    seconds: float = 0.0


class Decision(_Part):
    person: str
    decision: str
    reason: str
    at: datetime
    digest: str


class TrialFacts(_Part):
    """What the action would have done to the recent labelled rows. `gain` is the fall of the loss of a row; it is
    `clear` when its whole interval is above zero."""

    metric: str = ""
    before: float | None = None
    after: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    clear: bool = False


class Step(_Part):
    name: str
    state: str
    seconds: float | None = None
    result: dict[str, Any] | None = None


class ExecutionFacts(_Part):
    id: str
    state: str
    worker: str | None = None
    took: Span | None = None
    error: str = ""
    steps: list[Step] = []


class VerificationFacts(_Part):
    started_at: datetime
    due_at: datetime
    verdict: str | None = None
    decided_at: datetime | None = None
    statement: str = ""
    document: dict[str, Any] = {}


class ProposalFacts(_Part):
    id: str
    kind: str
    what: str
    parameters: dict[str, Any]
    digest: str
    risk: str
    changes_model: bool
    undo: str
    reach: str
    why: str
    requested_by: str
    state: str
    reason: str
    created_at: datetime
    approve_by: datetime
    approved_at: datetime | None = None
    execute_by: datetime | None = None
    ended_at: datetime | None = None
    trial: TrialFacts | None = None
    decisions: list[Decision] = []
    execution: ExecutionFacts | None = None
    verification: VerificationFacts | None = None


class AlertFacts(_Part):
    monitor: str
    feature: str | None = None
    severity: str
    detail: str
    first_seen: datetime
    cleared_at: datetime | None = None
    looks: int


class Happening(_Part):
    """One line of the timeline: an event of the audit, or several alike in a row (`times`).

    `minor`: bookkeeping that another line tells already; pages leave it out.
    """

    seq: int
    at: datetime
    actor: str
    event: str
    subject: str
    text: str
    minor: bool = False
    times: int = 1
    until: datetime | None = None


class DeploymentFacts(_Part):
    version: str
    kind: str
    at: datetime
    note: str = ""
    proposal_id: str | None = None


class ModelFacts(_Part):
    name: str
    task: str = ""
    metric: str = ""
    owner: str = ""
    description: str = ""


class IncidentFacts(_Part):
    """One incident, from the records alone."""

    kind: Literal["incident"] = "incident"
    id: str
    at: datetime
    model: ModelFacts
    state: str
    severity: str
    title: str
    opened_at: datetime
    resolved_at: datetime | None = None
    resolution: str = ""
    summary: str = ""
    summary_by: str = ""
    needs_you: list[str] = []
    times: Milestones
    took: Durations
    effect: Effect | None = None
    alerts: list[AlertFacts] = []
    diagnosis: DiagnosisFacts | None = None
    proposals: list[ProposalFacts] = []
    deployments: list[DeploymentFacts] = []
    timeline: list[Happening] = []
    chart: Chart | None = None

    @property
    def proposal(self) -> ProposalFacts | None:
        """The proposal that the report is about: one that was carried out, else the latest."""
        carried_out = [p for p in self.proposals if p.verification is not None]
        return (carried_out or self.proposals or [None])[-1]  # type: ignore[list-item]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return self.model_dump(mode="json")
