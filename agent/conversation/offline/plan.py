"""Which tools a request needs, in which order; what earlier calls gave decides what comes next. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.conversation.offline.dialogue import Asked
from agent.conversation.offline.intents import stop_words
from agent.conversation.offline.names import WORD
from agent.conversation.offline.periods import compared_days
from agent.conversation.offline.situation import MOST_MODELS, Call, Plan, Situation, few, given, having, one_model
from agent.conversation.offline.wanted import propose, what_if

MOST_PAGES = 5


_NO_TOPIC = frozenset(
    re.findall(
        r"\S+",
        """
    runbook runbooks runbok playbook playbooks playbok procedure procedures instructions guide guides documentation
    docs manual process protocol handling handle happens happen find open written applies recommend case explain
    existing team where""",
    )
)


def _span(asked: Asked) -> dict[str, Any]:
    return given(since=asked.since, until=asked.until)


def _each(name: str, *, span: bool = False, since: bool = False) -> Plan:
    """A tool that takes one model: for the one that is named, or for each of a few."""

    def plan(situation: Situation) -> list[Call]:
        time = _span(situation.asked) if span else given(since=situation.asked.since) if since else {}
        return [Call(name, {"model": model, **time}) for model in few(situation)]

    return plan


def _models(situation: Situation) -> list[Call]:
    named = situation.asked.models
    return [Call("models", {"model": m}) for m in named] if named else [Call("models")]


def _status(situation: Situation) -> list[Call]:
    named = situation.asked.models
    waiting = Call("proposals", {"state": "pending"} | ({"model": named[0]} if len(named) == 1 else {}))
    return [*_models(situation), *_incidents(situation, "unresolved"), waiting]


def _incidents(situation: Situation, state: str | None = None, *, span: bool = False) -> list[Call]:
    time = _span(situation.asked) if span else {}
    named = situation.asked.models
    if not named:
        return [Call("incidents", given(state=state) | time)]
    return [Call("incidents", {"model": model} | given(state=state) | time) for model in named]


def _wrong(situation: Situation) -> list[Call]:
    why = [Call("diagnosis", {"model": model}) for model in situation.asked.models]
    return [*_models(situation), *_incidents(situation, "unresolved"), *why]


def _diagnosis(situation: Situation) -> list[Call]:
    asked = situation.asked
    if asked.incident:
        return [Call("diagnosis", {"incident": asked.incident})]
    if asked.proposal and not asked.said_model:
        of_it = [p for d in situation.of("proposals") for p in d.data.get("proposals", []) if p.get("incident")]
        why = [Call("diagnosis", {"incident": p["incident"]}) for p in of_it[:1]]
        return [Call("proposals", {"id": asked.proposal}), *why]
    if asked.models:
        return [Call("diagnosis", {"model": model}) for model in asked.models]
    calls = _incidents(situation, "unresolved")
    found = [i for done in situation.of("incidents") for i in done.data.get("incidents", [])]
    return [*calls, *[Call("diagnosis", {"incident": i["id"]}) for i in found[:MOST_MODELS]]]


def _recommend(situation: Situation) -> list[Call]:
    named = situation.asked.models
    waiting = {"state": "pending"} | ({"model": named[0]} if len(named) == 1 else {})
    return [*_diagnosis(situation), Call("proposals", waiting)]


def _incident_id(situation: Situation) -> tuple[list[Call], str | None]:
    """The calls that find the incident which is meant, and its id once it is known."""
    asked = situation.asked
    if asked.incident:
        return [], asked.incident
    calls = _incidents(situation)
    found = [i for done in situation.of("incidents") for i in done.data.get("incidents", [])]
    found.sort(key=lambda i: i.get("state") == "resolved")
    return calls, str(found[0]["id"]) if found else None


def _timeline(situation: Situation) -> list[Call]:
    calls, incident = _incident_id(situation)
    return [*calls, Call("incidents", {"id": incident})] if incident else calls


def _similar(situation: Situation) -> list[Call]:
    calls, incident = _incident_id(situation)
    return [*calls, Call("similar_incidents", {"incident": incident})] if incident else calls


def _runbooks(situation: Situation) -> list[Call]:
    """By what is left of the request once the words for a runbook are taken out."""
    said = [w for w in WORD.findall(situation.asked.text.lower()) if w not in _NO_TOPIC and w not in stop_words()]
    said = [re.sub(r"(?<=\w{4})(?:ing|ed|s)$", "", w) for w in said]
    return [Call("runbooks", given(query=" ".join(dict.fromkeys(said))[:200]))]


def _feature(situation: Situation) -> list[Call]:
    asked = situation.asked
    if not asked.features:
        return _each("drift", span=True)(situation)
    return [Call("drift", {"model": model} | _span(asked)) for model in having(situation)]


def _distribution(situation: Situation) -> list[Call]:
    asked = situation.asked
    if not asked.features:
        return _each("drift", span=True)(situation)
    return [
        Call("measurements", {"model": model, "feature": asked.features[0]} | _span(asked))
        for model in having(situation)
    ]


def _monitors(family: str) -> Plan:
    def plan(situation: Situation) -> list[Call]:
        asked = situation.asked
        feature = given(feature=asked.features[0] if asked.features else None)
        models = having(situation) if asked.features else few(situation)
        return [Call("measurements", {"model": m, "monitor": family} | feature | _span(asked)) for m in models]

    return plan


def _compare(situation: Situation) -> list[Call]:
    model = one_model(situation)
    pair = list(situation.asked.versions[:2])
    if len(pair) == 2:
        return [Call("versions", {"model": model, "compare": pair})]
    first = Call("versions", {"model": model})
    listed = [str(v["version"]) for done in situation.of("versions") for v in done.data.get("versions", [])]
    listed = list(dict.fromkeys(listed))
    if len(pair) == 1:
        champion = next((str(d.data.get("champion")) for d in situation.of("versions") if d.data.get("champion")), None)
        other = next((v for v in [champion, *listed] if v and v != pair[0]), None)
        return [first, Call("versions", {"model": model, "compare": [pair[0], other]})] if other else [first]
    if len(listed) < 2:
        return [first]
    return [first, Call("versions", {"model": model, "compare": [listed[1], listed[0]]})]


def _changed(situation: Situation) -> list[Call]:
    asked = situation.asked
    since = given(since=asked.since)
    calls = [Call("deployments", {"model": model} | since) for model in few(situation)]
    calls += _incidents(situation, span=True)
    named = given(model=asked.models[0]) if len(asked.models) == 1 else {}
    return [*calls, Call("executions", named | since)]


def _proposals(situation: Situation) -> list[Call]:
    asked = situation.asked
    if asked.proposal:
        return [Call("proposals", {"id": asked.proposal})]
    if asked.models:
        return [Call("proposals", {"model": model}) for model in asked.models]
    return [Call("proposals", {"state": "pending"})]


def _decisions(situation: Situation) -> list[Call]:
    asked = situation.asked
    if asked.proposal:
        return [Call("proposals", {"id": asked.proposal})]
    time = given(since=asked.since)
    return [Call("proposals", {"model": m} | time) for m in asked.models] or [Call("proposals", time)]


def _executions(situation: Situation) -> list[Call]:
    asked = situation.asked
    if asked.proposal:
        return [Call("proposals", {"id": asked.proposal})]
    time = given(since=asked.since)
    return [Call("executions", {"model": model} | time) for model in asked.models] or [Call("executions", time)]


def _report(situation: Situation) -> list[Call]:
    asked = situation.asked
    days = (
        max(round((situation.now - asked.since).total_seconds() / 86400), 1)
        if asked.since
        else _said_period(asked.text)
    )
    return [Call("reports", given(model=model) | {"period": f"{days}d"}) for model in asked.models or (None,)]


def _compared(situation: Situation) -> list[Call]:
    """The length that is said, until now, beside the same length before it: a month may have begun yesterday."""
    asked = situation.asked
    period = f"{compared_days(asked.text) or 7}d"
    return [
        Call("reports", given(model=model) | {"period": period, "compare": "before"})
        for model in asked.models or (None,)
    ]


def _said_period(text: str) -> int:
    return 1 if "daily" in text.lower() else 30 if "month" in text.lower() else 7


PLANS: Mapping[str, Plan] = {
    "status": _status,
    "wrong": _wrong,
    **dict.fromkeys(("list_models", "frozen", "help"), lambda s: [Call("models")]),
    **dict.fromkeys(("owner", "features", "thresholds", "freshness"), _models),
    "volume": _models,
    "report": _report,
    "compare_periods": _compared,
    "drift": _each("drift", span=True),
    "worst_feature": _each("drift", span=True),
    "drift_feature": _feature,
    "distribution": _distribution,
    "quality": _monitors("quality"),
    **dict.fromkeys(("performance", "trend", "slices", "estimate"), _each("performance", span=True)),
    **dict.fromkeys(("why", "evidence", "ruled_out", "not_checked", "onset", "confidence"), _diagnosis),
    "recommend": _recommend,
    "similar": _similar,
    "runbook": _runbooks,
    "versions": _each("versions"),
    "compare_versions": _compare,
    "champion": _each("versions"),
    "deployments": _each("deployments", since=True),
    "what_changed": _changed,
    "incidents_open": lambda s: _incidents(s, "unresolved"),
    "incidents_past": lambda s: _incidents(s, span=True),
    "timeline": _timeline,
    "alerts": _timeline,
    "queue": lambda s: [Call("proposals", {"state": "pending"} | given(model=next(iter(s.asked.models), None)))],
    **dict.fromkeys(("proposal", "who_may", "risk", "undo", "trial", "expiry", "approve", "reject"), _proposals),
    "decisions": _decisions,
    **dict.fromkeys(("executions", "verification"), _executions),
    "what_if_retrain": what_if("retrain"),
    "what_if_rollback": what_if("rollback"),
    "what_if_recalibrate": what_if("recalibrate"),
    "what_if_nothing": what_if("do_nothing"),
    "propose_retrain": propose("retrain"),
    "propose_rollback": propose("rollback"),
    "propose_promote": propose("promote"),
    "propose_recalibrate": propose("recalibrate"),
    "propose_reference": propose("refresh_reference"),
    "propose_unfit": propose("mark_data_unfit"),
    "propose_silence": propose("silence"),
}


def next_calls(situation: Situation) -> list[Call]:
    """The calls that are still to be made; none: it is time to answer. Raises: Unclear."""
    plan = PLANS.get(situation.asked.intent)
    if plan is None:
        return []
    made = {_key(done.call) for done in situation.done}
    wanted = list({_key(call): call for call in plan(situation)}.values())
    rest = [call for call in wanted if _key(call) not in made]
    return rest or _more_pages(situation, wanted)


def _more_pages(situation: Situation, wanted: Sequence[Call]) -> list[Call]:
    """The next page of what is listed, as often as more was asked for."""
    if not situation.asked.page or not wanted:
        return []
    last = wanted[-1]
    pages = [d for d in situation.done if d.call.name == last.name and _same(d.call.arguments, last.arguments)]
    if not pages or len(pages) > min(situation.asked.page, MOST_PAGES):
        return []
    cursor = pages[-1].document.get("next")
    return [Call(last.name, {**last.arguments, "cursor": cursor})] if cursor else []


def _same(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return {k: v for k, v in given.items() if k != "cursor"} == dict(wanted)


def _key(call: Call) -> str:
    return f"{call.name}:{sorted(call.arguments.items(), key=str)}"
