"""How the watch did in a span of time: how fast, did it help, what it was worth, how good it was, what it cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from statistics import median

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.wording import figure, length, percent
from agent.store.tables import (
    Acknowledgement,
    Alert,
    Approval,
    Diagnosis,
    Execution,
    Feedback,
    Incident,
    MonitorRun,
    Proposal,
    Verification,
)
from ml.spec import ModelSpec

FALSE_ALARM = re.compile(r"\b(false (alarm|positive)|not a problem|no problem|nothing wrong)\b", re.IGNORECASE)
CONFIDENCE = ((0, 60), (60, 80), (80, 95), (95, 100))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Speed(_Part):
    """The median and the longest time of one step, over `n` incidents."""

    n: int
    median: str
    longest: str
    median_seconds: float
    longest_seconds: float


class Worth(_Part):
    """What an action was worth on the later rows that it was judged by, from what the spec says an error costs."""

    amount: float
    low: float | None = None
    high: float | None = None
    currency: str = ""


class Outcome(_Part):
    """An action that was carried out and judged: the metric as it is, and as it would have been without."""

    proposal_id: str
    model: str
    kind: str
    decided_by: list[str]
    verdict: str
    metric: str = ""
    after: float | None = None
    do_nothing: float | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    worth: Worth | None = None


class Confidence(_Part):
    """Diagnoses that were acted on, by how sure they were in percent (`upto` is excluded), and how many helped."""

    least: int
    upto: int
    judged: int
    helped: int


class Quality(_Part):
    """How good the watch itself was, by what people said and by what came of it."""

    incidents: int
    false_alarms: int
    proposals: int
    accepted: int
    rejected: int
    lapsed: int
    thumbs_up: int
    thumbs_down: int
    confidence: list[Confidence]


class Cost(_Part):
    """What the watch cost. `usd` is None where no price is known. Compute is seconds of this program's work."""

    calls: int
    tokens: int
    usd: float | None
    looks: float
    diagnoses: float
    executions: float
    total: str


def speeds(times: Sequence[float]) -> Speed | None:
    """The median and the longest of some lengths in seconds; None where there is none."""
    if not times:
        return None
    middle, longest = float(median(times)), max(times)
    return Speed(
        n=len(times),
        median=length(middle) if middle else "at once",
        longest=length(longest) if longest else "at once",
        median_seconds=figure(middle) or 0.0,
        longest_seconds=figure(longest) or 0.0,
    )


def how_fast(session: Session, names: Sequence[str], start: datetime, end: datetime) -> dict[str, Speed]:
    """`detect` (from when it began), `decide` (from the proposal), `recover` (from detection), of this span."""
    opened = session.execute(
        select(Incident.opened_at, func.min(Diagnosis.onset))
        .join(Diagnosis, Diagnosis.incident_id == Incident.id)
        .where(Incident.model.in_(names), Incident.opened_at > start, Incident.opened_at <= end)
        .where(Diagnosis.onset.is_not(None), Diagnosis.verdict == "incident")
        .group_by(Incident.id, Incident.opened_at)
    ).all()
    decided = session.execute(
        select(Proposal.created_at, func.max(Approval.at))
        .join(Approval, Approval.proposal_id == Proposal.id)
        .where(Proposal.model.in_(names))
        .group_by(Proposal.id, Proposal.created_at)
        .having(func.max(Approval.at) > start, func.max(Approval.at) <= end)
    ).all()
    recovered = session.execute(
        select(Incident.opened_at, func.max(Verification.decided_at))
        .join(Proposal, Proposal.incident_id == Incident.id)
        .join(Verification, Verification.proposal_id == Proposal.id)
        .where(Incident.model.in_(names), Verification.verdict == "succeeded")
        .where(Verification.decided_at > start, Verification.decided_at <= end)
        .group_by(Incident.id, Incident.opened_at)
    ).all()
    found = {
        "detect": [(at - onset).total_seconds() for at, onset in opened if onset and onset < at],
        "decide": [(at - made).total_seconds() for made, at in decided if made <= at],
        "recover": [(at - began).total_seconds() for began, at in recovered if at and began <= at],
    }
    return {name: speed for name, times in found.items() if (speed := speeds(times)) is not None}


def outcomes(session: Session, specs: dict[str, ModelSpec], start: datetime, end: datetime) -> list[Outcome]:
    """What was carried out and judged in this span, in order of time."""
    rows = session.execute(
        select(Proposal, Verification)
        .join(Verification, Verification.proposal_id == Proposal.id)
        .where(Proposal.model.in_(specs), Verification.decided_at > start, Verification.decided_at <= end)
        .order_by(Verification.decided_at, Proposal.id)
    ).all()
    people = _approvers(session, [proposal.id for proposal, _ in rows])
    return [_outcome(specs[p.model], p, v, people.get(p.id, [])) for p, v in rows]


def worth_of(spec: ModelSpec, gain: float | None, low: float | None, high: float | None, n: int | None) -> Worth | None:
    """The fall of the loss of a row, times the rows, times what the spec says a loss of 1 costs."""
    if spec.error_cost is None or gain is None or not n:
        return None
    each = spec.error_cost.amount * n
    return Worth(
        amount=figure(gain * each) or 0.0,
        low=None if low is None else figure(low * each),
        high=None if high is None else figure(high * each),
        currency=spec.error_cost.currency,
    )


def how_good(session: Session, names: Sequence[str], start: datetime, end: datetime) -> Quality:
    """False alarms are incidents of which a person says so: in the reason of a rejection, or in a note on an alert."""
    incidents = session.scalar(
        select(func.count(Incident.id)).where(
            Incident.model.in_(names), Incident.opened_at > start, Incident.opened_at <= end
        )
    )
    made = (Proposal.model.in_(names), Proposal.created_at > start, Proposal.created_at <= end)
    states = session.execute(select(Proposal.state, func.count()).where(*made).group_by(Proposal.state)).all()
    by_state = {str(state): int(number) for state, number in states}
    accepted = session.scalar(
        select(func.count()).select_from(Proposal).where(*made, Proposal.approved_at.is_not(None))
    )
    refusals = session.execute(
        select(Proposal.incident_id, Approval.reason)
        .join(Proposal, Proposal.id == Approval.proposal_id)
        .where(Proposal.model.in_(names), Approval.decision == "reject", Approval.at > start, Approval.at <= end)
    ).all()
    seen = session.execute(
        select(Alert.incident_id, Acknowledgement.note)
        .join(Alert, Alert.id == Acknowledgement.alert_id)
        .where(Alert.model.in_(names), Acknowledgement.at > start, Acknowledgement.at <= end)
    ).all()
    said = [*refusals, *seen]
    thumbs = session.execute(
        select(Feedback.thumb, func.count()).where(Feedback.at > start, Feedback.at <= end).group_by(Feedback.thumb)
    ).all()
    given = {str(thumb): int(number) for thumb, number in thumbs}
    return Quality(
        incidents=incidents or 0,
        false_alarms=len({incident for incident, reason in said if incident and FALSE_ALARM.search(reason)}),
        proposals=sum(by_state.values()),
        accepted=accepted or 0,
        rejected=by_state.get("rejected", 0),
        lapsed=sum(by_state.get(state, 0) for state in ("expired", "superseded", "withdrawn")),
        thumbs_up=given.get("up", 0),
        thumbs_down=given.get("down", 0),
        confidence=_confidence(session, names, start, end),
    )


def what_it_cost(
    session: Session,
    names: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    calls: int,
    tokens: int,
    usd: float | None,
) -> Cost:
    """Tokens and money as counted by the caller; seconds of looks, diagnoses and executions."""
    looks = session.scalar(
        select(func.sum(MonitorRun.seconds)).where(
            MonitorRun.model.in_(names), MonitorRun.window_end > start, MonitorRun.window_end <= end
        )
    )
    diagnoses = session.scalar(
        select(func.sum(Diagnosis.seconds))
        .join(Incident, Incident.id == Diagnosis.incident_id)
        .where(Incident.model.in_(names), Diagnosis.at > start, Diagnosis.at <= end)
    )
    executions = session.scalar(
        select(func.sum(Execution.seconds))
        .join(Proposal, Proposal.id == Execution.proposal_id)
        .where(Proposal.model.in_(names), Proposal.ended_at > start, Proposal.ended_at <= end)
    )
    spent = [float(part or 0.0) for part in (looks, diagnoses, executions)]
    rounded = [figure(part) or 0.0 for part in spent]
    return Cost(
        calls=calls, tokens=tokens, usd=usd, looks=rounded[0], diagnoses=rounded[1], executions=rounded[2],
        total=length(sum(spent)),
    )  # fmt: skip


def _confidence(session: Session, names: Sequence[str], start: datetime, end: datetime) -> list[Confidence]:
    rows = session.execute(
        select(Diagnosis.probability, Verification.verdict)
        .join(Proposal, Proposal.diagnosis_id == Diagnosis.id)
        .join(Verification, Verification.proposal_id == Proposal.id)
        .where(Proposal.model.in_(names), Verification.decided_at > start, Verification.decided_at <= end)
        .where(Verification.verdict.in_(("succeeded", "failed")))
    ).all()
    sure = [(percent(probability), verdict == "succeeded") for probability, verdict in rows]
    bands = [
        (low, high, [helped for p, helped in sure if low <= p < high or p == high == 100]) for low, high in CONFIDENCE
    ]
    return [Confidence(least=low, upto=high, judged=len(of), helped=sum(of)) for low, high, of in bands if of]


def _approvers(session: Session, proposals: Sequence[str]) -> dict[str, list[str]]:
    rows = session.execute(
        select(Approval.proposal_id, Approval.person)
        .where(Approval.proposal_id.in_(proposals), Approval.decision == "approve")
        .order_by(Approval.at, Approval.id)
    )
    people: dict[str, list[str]] = {}
    for proposal, person in rows:
        people.setdefault(proposal, []).append(person)
    return people


def _outcome(spec: ModelSpec, proposal: Proposal, verification: Verification, people: list[str]) -> Outcome:
    document = verification.document
    low, high = document.get("interval") or (None, None)
    gain, n = document.get("gain"), document.get("n")
    return Outcome(
        proposal_id=proposal.id,
        model=proposal.model,
        kind=proposal.kind,
        decided_by=people,
        verdict=verification.verdict or "",
        metric=str(document.get("metric") or spec.metric),
        after=figure(document.get("after")),
        do_nothing=figure(document.get("do_nothing")),
        gain=figure(gain),
        low=figure(low),
        high=figure(high),
        n=n,
        worth=worth_of(spec, gain, low, high, n),
    )
