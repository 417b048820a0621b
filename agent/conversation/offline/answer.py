"""The answer to a request, once its tools have given what they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell import asks, compared, diagnosed, happened, lineage, measured, state, waiting
from agent.conversation.offline.tell.sentence import Told, trouble
from agent.domain.wording import names, visible

Teller = Callable[[Situation], Told]

TELLERS: Mapping[str, Teller] = {
    "status": state.status, "wrong": diagnosed.what_is_wrong, "list_models": state.list_models, "owner": state.owner,
    "features": state.features, "thresholds": state.thresholds, "freshness": state.freshness, "volume": state.volume,
    "frozen": state.frozen, "report": asks.report, "compare_periods": compared.compared,
    "drift": measured.drift, "drift_feature": measured.drift_feature, "worst_feature": measured.worst_feature,
    "distribution": measured.series, "quality": measured.series, "performance": measured.performance,
    "trend": measured.trend, "estimate": measured.estimate, "slices": measured.slices,
    "why": diagnosed.why, "evidence": diagnosed.evidence, "ruled_out": diagnosed.ruled_out,
    "not_checked": diagnosed.not_checked, "onset": diagnosed.onset, "confidence": diagnosed.confidence,
    "recommend": diagnosed.recommend, "similar": happened.similar, "runbook": happened.runbook,
    "versions": lineage.versions, "compare_versions": lineage.compare_versions, "champion": lineage.champion,
    "deployments": lineage.deployments, "what_changed": lineage.what_changed,
    "incidents_open": happened.incidents_open, "incidents_past": happened.incidents_past,
    "timeline": happened.timeline, "alerts": happened.alerts,
    "queue": waiting.queue, "proposal": waiting.proposal, "who_may": waiting.who_may, "risk": waiting.risk,
    "undo": waiting.undo, "trial": waiting.trial, "expiry": waiting.expiry, "decisions": waiting.decisions,
    "executions": happened.executions, "verification": happened.verification,
    "what_if_retrain": asks.what_if, "what_if_rollback": asks.what_if, "what_if_recalibrate": asks.what_if,
    "what_if_nothing": asks.what_if,
    "propose_retrain": asks.filed, "propose_rollback": asks.filed, "propose_promote": asks.filed,
    "propose_recalibrate": asks.filed, "propose_reference": asks.filed, "propose_unfit": asks.filed,
    "propose_silence": asks.filed,
    "approve": waiting.where_to_approve, "reject": waiting.where_to_reject, "freeze": asks.freeze,
    "help": asks.help_told, "greeting": asks.greeting, "thanks": asks.thanks, "who_are_you": asks.who_are_you,
    "outside": asks.outside,
}  # fmt: skip


def objection(situation: Situation) -> str | None:
    """What has to be said instead of an answer: a name that nothing has or that several have, a place that is none."""
    asked, known = situation.asked, tuple(situation.known.models)
    if asked.no_such_place:
        return "There is no such entry in my last answer."
    if asked.intent in ("unknown", "outside", "help", "greeting", "thanks", "who_are_you", "freeze", "runbook"):
        return None
    listing = [done for done in situation.of("models") if not done.call.arguments.get("model")]
    if not known and listing:  # an error, or that there is none to be seen
        return " ".join(trouble(listing)) or "There is no model under watch yet."
    if asked.stranger is not None and not asked.models and not asked.features:
        there = f"the models are {names(list(known), 12)}" if known else "there is no model yet"
        return f"I know no model “{visible(asked.stranger, 60)}”; {there}."
    if asked.ambiguous and len(asked.models) > 1:
        return f"Which one do you mean: {names(list(asked.models))}?"
    return None


def tell(situation: Situation) -> str:
    """The answer as text, a sentence or two in each line."""
    teller = TELLERS.get(situation.asked.intent, asks.not_understood)
    return "\n".join(line for line in teller(situation) if line) or "There is no data for that."
