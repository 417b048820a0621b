"""What is at risk next: rules over what a period's facts say, the nearest first. A rule names its reason in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.domain.wording import moment, shown, visible
from agent.reports.shape_period import Risk, Waiting, Watched
from agent.reports.timeline import noun
from agent.store.tables import Proposal, Verification

SOON = timedelta(days=2)
MOST = 12


def risks(session: Session, watched: Sequence[Watched], waiting: Sequence[Waiting], end: datetime) -> list[Risk]:
    """At most a dozen, in order: what lapses, what is bad and unattended, what is near its bound, what is blind."""
    names = [one.model.name for one in watched]
    found = [*_lapsing(waiting, end), *_unjudged(session, names)]
    for rule in (_stuck, _unattended, _near, _firing, _blind):
        found += [risk for one in watched if (risk := rule(one)) is not None]
    return found[:MOST]


def _lapsing(waiting: Sequence[Waiting], end: datetime) -> Iterator[Risk]:
    for proposal in waiting:
        if proposal.approve_by - end <= SOON:
            text = f"{proposal.id} lapses on {moment(proposal.approve_by)} unless somebody decides."
            yield Risk(model=proposal.model, rule="lapsing", text=text)


def _unjudged(session: Session, names: Sequence[str]) -> Iterator[Risk]:
    rows = session.execute(
        select(Proposal.model, Proposal.id, Proposal.kind, Verification.due_at)
        .join(Verification, Verification.proposal_id == Proposal.id)
        .where(Proposal.model.in_(names), Verification.verdict.is_(None))
        .order_by(Verification.due_at, Proposal.id)
    )
    for model, proposal, kind, due in rows:
        text = f"Whether the {noun(kind)} {proposal} helped is not known yet; the check is due by {moment(due)}."
        yield Risk(model=model, rule="unjudged", text=text)


def _stuck(one: Watched) -> Risk | None:
    """An incident is open, and nobody is asked anything: the likeliest to be forgotten."""
    left = [i for i in one.incidents if i.state in (IncidentState.OPEN, IncidentState.DIAGNOSED)]
    if not left:
        return None
    text = f"Incident {left[0].id} is open since {moment(left[0].opened_at)}, and nothing waits for a decision."
    return Risk(model=one.model.name, rule="stuck", text=text)


def _unattended(one: Watched) -> Risk | None:
    """Beyond its threshold, and no incident is open."""
    latest = one.latest
    if latest is None or latest.status != "breach" or _open(one):
        return None
    text = f"{one.model.metric} is {shown(latest.value)}"
    text += f", beyond its threshold {shown(latest.threshold)}" if latest.threshold is not None else ", too far off"
    return Risk(model=one.model.name, rule="beyond", text=f"{text}, and no incident is open.")


def _near(one: Watched) -> Risk | None:
    """Within its threshold, but its interval reaches beyond it."""
    latest = one.latest
    if latest is None or latest.status != "ok" or latest.threshold is None or _open(one):
        return None
    edge = latest.high if one.better == "lower" else latest.low
    if edge is None or (edge <= latest.threshold if one.better == "lower" else edge >= latest.threshold):
        return None
    text = (
        f"{one.model.metric} is {shown(latest.value)}, and its interval reaches {shown(edge)}, beyond the threshold "
        f"{shown(latest.threshold)}."
    )
    return Risk(model=one.model.name, rule="near", text=text)


def _firing(one: Watched) -> Risk | None:
    if not one.firing or _open(one):
        return None
    return Risk(model=one.model.name, rule="firing", text=f"Alerts still firing: {one.firing}.")


def _blind(one: Watched) -> Risk | None:
    if one.latest is not None:
        return None
    why = "no look was taken" if not one.looks else "no look had enough labelled rows"
    return Risk(
        model=one.model.name, rule="blind", text=f"Not known to be well: {why} to measure {visible(one.model.metric)}."
    )


def _open(one: Watched) -> bool:
    return any(incident.state != IncidentState.RESOLVED for incident in one.incidents)
