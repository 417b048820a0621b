"""The numbers of a period: what was looked at, what happened, what was decided, what helped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from agent.conversation.records.sight import Sight
from agent.store.tables import Approval, Execution, Proposal, Verification
from tools.context import Found, Item, Span

Period = Callable[..., Any]
"""`period_facts(session, model=, start=, end=)` of `agent.reports`."""


def reports(sight: Sight, model: str | None, span: Span, period: Period) -> Found:
    """The facts of a report over the span, without its prose."""
    start, end = span.since, span.until
    assert start is not None and end is not None, "the tool gives both"  # noqa: PT018
    names = [sight.spec(model).name] if model is not None else sight.names()
    if not names:
        return Found({"period": _ends(start, end)}, missing="There is no model that you may see.")
    whole = model is None and sight.caller.models is None
    facts = [
        period(sight.session, model=None if whole else one, start=start, end=end) for one in ([""] if whole else names)
    ]
    counts: Counter[str] = Counter()
    for one in facts:
        counts.update(one.counts.model_dump())
    watched = [one for fact in facts for one in fact.models]
    data = {
        "period": _ends(start, end),
        "facts": {**counts, **_acted(sight, names, start, end)},
        "frozen": facts[0].frozen,
    }
    items = [Item(_watched(one), one.model.name, tuple(i.id for i in one.incidents)) for one in watched]
    missing = "" if counts["looks"] or counts["incidents"] else "Nothing was looked at in this period."
    if missing:
        return Found({**data, "models": []}, missing=missing, window=(start, end))
    return Found(data, items, lambda entries: {"models": entries}, window=(start, end), n=counts["looks"])


def compared(sight: Sight, model: str | None, span: Span, comparison: Period) -> Found:
    """The figures of the span beside those of the span of the same length before it."""
    start, end = span.since, span.until
    assert start is not None and end is not None, "the tool gives both"  # noqa: PT018
    names = [sight.spec(model).name] if model is not None else sight.names()
    if not names:
        return Found({"period": _ends(start, end)}, missing="There is no model that you may see.")
    facts = comparison(sight.session, model=model, start=start, end=end, only=names)
    data = {
        "period": _ends(start, end),
        "before": _ends(facts.before.start, facts.before.end),
        "facts": _side(facts.now),
        "facts_before": _side(facts.before),
    }
    items = [Item(_change(one), one.model.name) for one in facts.models]
    looks = facts.now.counts.looks + facts.before.counts.looks
    if not looks:
        missing = "Nothing was looked at in this period, nor in the one before it."
        return Found({**data, "models": []}, missing=missing, window=(facts.before.start, end))
    return Found(data, items, lambda entries: {"models": entries}, window=(facts.before.start, end), n=looks)


def _side(side: Any) -> dict[str, int]:
    return {
        "looks": side.counts.looks, "incidents": side.counts.incidents, "deployments": side.counts.deployments,
        "proposed": side.quality.proposals, "accepted": side.quality.accepted, "judged": side.judged,
        "helped": side.helped,
    }  # fmt: skip


def _change(one: Any) -> dict[str, Any]:
    verdict = None if one.change is None else "within chance" if not one.clear else "better" if one.better else "worse"
    return {
        "name": one.model.name,
        "metric": one.model.metric,
        "better": one.direction,
        "before": _point(one.before),
        "latest": _point(one.now),
        "change": one.change,
        "verdict": verdict,
        "incidents": one.incidents_now,
        "incidents_before": one.incidents_before,
    }


def _ends(start: datetime, end: datetime) -> dict[str, Any]:
    return {"start": start, "end": end}


def _acted(sight: Sight, names: Sequence[str], start: datetime, end: datetime) -> dict[str, int]:
    """Decisions, executions and verdicts that fell into the period."""
    session, of = sight.session, Proposal.model.in_(names)

    def counted(*which: Any, table: Any, on: Any) -> int:
        query = select(func.count()).select_from(table).join(Proposal, Proposal.id == on).where(of, *which)
        return session.scalar(query) or 0

    proposed = select(func.count()).select_from(Proposal)
    decided = Approval.at.between(start, end)
    judged = Verification.decided_at.between(start, end)
    return {
        "proposed": session.scalar(proposed.where(of, Proposal.created_at.between(start, end))) or 0,
        "decided": counted(decided, table=Approval, on=Approval.proposal_id),
        "approved": counted(decided, Approval.decision == "approve", table=Approval, on=Approval.proposal_id),
        "rejected": counted(decided, Approval.decision == "reject", table=Approval, on=Approval.proposal_id),
        "executed": counted(
            Execution.finished_at.between(start, end), Execution.state == "done",
            table=Execution, on=Execution.proposal_id,
        ),
        "helped": counted(judged, Verification.verdict == "succeeded", table=Verification, on=Verification.proposal_id),
        "did_not_help": counted(
            judged, Verification.verdict == "failed", table=Verification, on=Verification.proposal_id
        ),
    }  # fmt: skip


def _watched(one: Any) -> dict[str, Any]:
    return {
        "name": one.model.name,
        "state": one.state,
        "metric": one.model.metric,
        "better": one.better,
        "looks": one.looks,
        "looks_without_data": one.looks_without_data,
        "first": _point(one.first),
        "latest": _point(one.latest),
        "alerts_firing": one.firing,
        "incidents": [{"id": i.id, "cause": i.cause, "state": i.state, "action": i.action} for i in one.incidents],
        "deployments": len(one.deployments),
        "champion": one.champion,
    }


def _point(point: Any) -> dict[str, Any] | None:
    names = ("at", "value", "low", "high", "n", "threshold", "status")
    return None if point is None else {name: getattr(point, name) for name in names}
