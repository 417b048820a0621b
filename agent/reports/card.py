"""The facts of a model card: from the spec, the registry's entry of the version, the ledger and the records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.wording import figure, in_order_to, length, moment, shown, visible
from agent.reports import measured, series
from agent.reports.judged import outcomes
from agent.reports.language import say
from agent.reports.phrases import point, ranged
from agent.reports.pictured import Bar, Importance
from agent.reports.shape import ModelFacts
from agent.reports.shape_card import CardFacts, Column, Decided
from agent.store import queries
from agent.store.tables import Approval, Proposal
from ml.models.registry import VersionInfo

MOST_COLUMNS = 40
MOST_PARAMETERS = 12
MOST_DECISIONS = 20
SINCE = datetime(1970, 1, 1, tzinfo=UTC)


def card_facts(
    session: Session, model: str, version: VersionInfo, *, at: datetime, importance: Importance | None = None
) -> CardFacts:
    """One version of a model. Raises: NotFound."""
    spec = queries.spec_of(session, model)
    ledger = series.deployments(session, model, None, at)
    current = ledger[-1].version if ledger else None
    began = min((d.at for d in ledger if d.version == version.version), default=None)
    since = began or SINCE
    chart = series.performance(session, spec, since, at)
    points = [p for p in series.metric_points(session, spec, since, at) if p.value is not None]
    live = points[-1] if points and current == version.version else None
    columns = [
        Column(name=name, type=str(f.type), used=f.used, description=f.description) for name, f in spec.features.items()
    ]
    judged = outcomes(session, {model: spec}, SINCE, at)
    facts = CardFacts(
        at=at,
        model=ModelFacts(
            name=spec.name, task=spec.task, metric=spec.metric, owner=spec.owner, description=spec.description
        ),
        version=version.version,
        state=_state(version, current),
        made_at=version.created_at,
        trainer=spec.trainer,
        data_version=version.data_version,
        code_version=version.code_version,
        parent_version=version.parent_version,
        proposal_id=version.proposal,
        parameters=dict(list(version.params.items())[:MOST_PARAMETERS]),
        metrics=_metrics(version.metrics),
        held_out=_held_out(version.metrics),
        live=live,
        better=series.direction(spec),
        threshold=points[-1].threshold if points else None,
        columns=columns[:MOST_COLUMNS],
        columns_left_out=max(len(columns) - MOST_COLUMNS, 0),
        segments=list(spec.segments),
        label_delay=length(spec.label_delay),
        window=length(spec.window),
        deployments=ledger,
        decisions=_decisions(session, model, at),
        outcomes=judged,
        judged=len(judged),
        helped=sum(o.verdict == "succeeded" for o in judged),
        chart=chart,
        drift=measured.drift(session, spec, since, at),
        slices=measured.slices(session, spec, since, at),
        versions=measured.versions(session, spec, SINCE, at) if len(ledger) > 1 else None,
        importance=importance,
    )
    return facts.model_copy(update={"summary": summary(facts)})


def summary(facts: CardFacts) -> str:
    """What it is, how it did when tested, how it does now."""
    name, metric = visible(facts.model.name, 80), facts.model.metric
    text = say("Version {version} of {model} is {state}.", version=visible(facts.version, 40), model=name,
               state=say(facts.state))  # fmt: skip
    tested = next((b for b in facts.metrics if b.name == metric), None)
    if tested is not None:
        value = ranged(tested.value, tested.low, tested.high)
        text += " " + say("When it was tested, its {metric} was {value} ({better} is better).", metric=metric,
                          value=value, better=say(facts.better))  # fmt: skip
    if facts.live is not None:
        text += " " + say("At the last look, on {at}, it was {value} on {n} labelled rows.", at=moment(facts.live.at),
                          value=point(facts.live), n=facts.live.n)  # fmt: skip
        if facts.live.status == "breach" and facts.live.threshold is not None:
            text += " " + say("That is beyond its threshold {bound}.", bound=shown(facts.live.threshold))
    elif facts.state == "champion":
        text += " " + say("No look has had enough labelled rows to say how it does now.")
    if facts.judged:
        text += " " + say(
            "Actions on this model that were judged: {n}, of which helped: {k}.", n=facts.judged, k=facts.helped
        )
    return text


def _state(version: VersionInfo, current: str | None) -> str:
    if version.version == current:
        return "champion"
    return version.aliases[0] if version.aliases else "not in use"


def _metrics(metrics: Mapping[str, float]) -> list[Bar]:
    """The registry's figures; bounds stand beside their metric as `mae.low` and `mae.high`."""
    plain = {name: value for name, value in sorted(metrics.items()) if "." not in name and name not in ("n", "rows")}
    return [
        Bar(name=name, value=figure(value), low=figure(metrics.get(f"{name}.low")),
            high=figure(metrics.get(f"{name}.high")))
        for name, value in plain.items()
    ]  # fmt: skip


def _held_out(metrics: Mapping[str, float]) -> str:
    rows = metrics.get("n", metrics.get("rows"))
    return "" if rows is None else say("On {n} held-out rows.", n=int(rows))


def _decisions(session: Session, model: str, at: datetime) -> list[Decided]:
    rows = session.scalars(
        select(Proposal)
        .where(Proposal.model == model, Proposal.created_at <= at)
        .order_by(Proposal.created_at.desc(), Proposal.id)
        .limit(MOST_DECISIONS)
    ).all()
    given: dict[str, list[Approval]] = {}
    said = select(Approval).where(Approval.proposal_id.in_([row.id for row in rows])).order_by(Approval.at, Approval.id)
    for approval in session.scalars(said):
        given.setdefault(approval.proposal_id, []).append(approval)
    return [
        Decided(
            id=row.id,
            at=row.created_at,
            what=in_order_to(row.action),
            state=row.state,
            people=[a.person for a in given.get(row.id, [])],
            reason=next((a.reason for a in given.get(row.id, []) if a.decision == "reject"), ""),
        )
        for row in reversed(rows)
    ]
