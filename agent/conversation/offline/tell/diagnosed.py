"""Why: causes with what speaks for and against them, what was ruled out, what was not checked, since when, how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.happened import about, waiting_line
from agent.conversation.offline.tell.sentence import Told, cite, clause, interval, items, number, share, trouble, when
from agent.conversation.offline.tell.state import wrong
from agent.domain.wording import in_order_to, names, words

MOST = 5
Part = Callable[[Mapping[str, Any]], Told]


def _diagnoses(situation: Situation) -> list[Mapping[str, Any]]:
    return [done.data for done in situation.of("diagnosis") if done.ok and done.data.get("causes") is not None]


def _told(situation: Situation, part: Part) -> Told:
    lines = [line for found in _diagnoses(situation) for line in part(found)]
    lines += trouble(situation.of("diagnosis"))
    if not lines:
        lines = trouble(situation.of("incidents")) or [
            "Nothing has been diagnosed: no unresolved incident is on record."
        ]
    return lines


def why(situation: Situation) -> Told:
    """The leading cause, what speaks for and against it, the other causes, what was not checked, what follows."""
    of_proposals = [line for p in items(situation, "proposals", "proposals") for line in about(p, situation.now)]
    if of_proposals and not situation.of("diagnosis"):
        return of_proposals
    return of_proposals + _told(
        situation, lambda d: [_lead(d), *_for_and_against(d), *_others(d), *_unchecked(d), *_action(d)]
    )


def what_is_wrong(situation: Situation) -> Told:
    """What is wrong with a model that is named: its incident and its diagnosis; else the state of each."""
    lines = wrong(situation)
    unresolved = {str(i.get("id")) for i in items(situation, "incidents", "incidents") if i.get("state") != "resolved"}
    for found in _diagnoses(situation):
        if str(found.get("incident")) in unresolved:
            lines += [_lead(found), *_for_and_against(found), *_action(found)]
    return lines


def _cause(found: Mapping[str, Any]) -> Mapping[str, Any]:
    causes = found.get("causes") or [{}]
    first: Mapping[str, Any] = causes[0]
    return first


def _lead(found: Mapping[str, Any]) -> str:
    cause, about = _cause(found), clause(found.get("model"), 80)
    if not cause:
        return f"{about}: no cause was found{cite(found.get('id'))}."
    features = f" in {names([clause(f, 60) for f in cause['features']])}" if cause.get("features") else ""
    segment = f", in {clause(cause['segment'], 80)} only" if cause.get("segment") else ""
    text = (
        f"{about}: {words(clause(cause.get('cause'), 80))}{features}{segment}, {share(cause.get('probability'))} sure"
    )
    text += f", since {when(cause['onset'])}" if cause.get("onset") else ""
    return f"{text}{cite(found.get('incident'), *[_fact(found, e) for e in cause.get('supports', [])][:4])}."


def _fact(found: Mapping[str, Any], number_of: Any) -> str:
    """`E3` as it is cited outside of its diagnosis: `d-…/E3`."""
    text = str(number_of)
    return text if "/" in text else f"{found.get('id')}/{text}"


def _facts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {_fact(found, e.get("id")): e for e in found.get("evidence") or []}


def _for_and_against(found: Mapping[str, Any]) -> Told:
    facts, cause, lines = _facts(found), _cause(found), []
    for title, key in (("For it", "supports"), ("Against it", "contradicts")):
        for wanted in [_fact(found, e) for e in cause.get(key, [])][:MOST]:
            if wanted in facts:
                lines.append(f"{title}: {clause(facts[wanted].get('statement'))}{cite(wanted)}.")
    return lines


def _others(found: Mapping[str, Any]) -> Told:
    others = (found.get("causes") or [])[1:4]
    if not others:
        return []
    said = [f"{words(clause(c.get('cause'), 80))} {share(c.get('probability'))}" for c in others]
    return [f"Other causes: {'; '.join(said)}{cite(found.get('id'))}."]


def _unchecked(found: Mapping[str, Any]) -> Told:
    said = [f"{clause(n.get('what'))} ({clause(n.get('why'))})" for n in (found.get("not_checked") or [])[:MOST]]
    return [f"Not checked: {'; '.join(said)}{cite(found.get('id'))}."] if said else []


def _action(found: Mapping[str, Any]) -> Told:
    action = found.get("action")
    if not isinstance(action, Mapping) or not action.get("kind"):
        return []
    kind = clause(action["kind"], 40)
    reason = f": {clause(action['why'])}" if action.get("why") else ""
    what = in_order_to({"kind": kind}) if kind == "no_action" else words(kind)
    return [f"What follows from it: {what}{reason}{cite(found.get('id'))}."]


def evidence(situation: Situation) -> Told:
    return _told(situation, _evidence)


def _evidence(found: Mapping[str, Any]) -> Told:
    lines = [_lead(found)]
    cause = _cause(found)
    for_it = {_fact(found, e) for e in cause.get("supports", [])}
    against = {_fact(found, e) for e in cause.get("contradicts", [])}
    for wanted, fact in list(_facts(found).items())[:12]:
        side = "for it" if wanted in for_it else "against it" if wanted in against else "on record"
        value = fact.get("value")
        measured = ""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and fact.get("n"):
            spread = fact.get("interval")
            between = (
                interval({"low": spread[0], "high": spread[1]}) if isinstance(spread, list) and len(spread) == 2 else ""
            )
            measured = f" (measured {number(value)}{between} on {fact['n']} rows)"
        lines.append(f"{clause(fact.get('statement'))}{measured}, {side}{cite(wanted)}.")
    return lines


def ruled_out(situation: Situation) -> Told:
    return _told(situation, _ruled_out)


def _ruled_out(found: Mapping[str, Any]) -> Told:
    lines = []
    for out in (found.get("ruled_out") or [])[:MOST]:
        cited = [_fact(found, e) for e in out.get("evidence") or []][:3]
        what, ids = words(clause(out.get("what"), 80)), cited or [str(found.get("id"))]
        lines.append(f"Ruled out: {what}, {clause(out.get('why'))}{cite(*ids)}.")
    about = clause(found.get("model"), 80)
    return [_lead(found), *(lines or [f"{about}: nothing was ruled out with certainty{cite(found.get('id'))}."])]


def not_checked(situation: Situation) -> Told:
    return _told(
        situation,
        lambda d: (
            _unchecked(d)
            or [f"{clause(d.get('model'), 80)}: everything that is checked there was checked{cite(d.get('id'))}."]
        ),
    )


def onset(situation: Situation) -> Told:
    def part(found: Mapping[str, Any]) -> Told:
        start = _cause(found).get("onset") or found.get("onset")
        about = clause(found.get("model"), 80)
        if not start:
            return [f"{about}: when it began could not be told{cite(found.get('id'))}."]
        text = f"{about}: since {when(start)} ({words(clause(_cause(found).get('cause'), 80))})"
        return [f"{text}{cite(found.get('incident'), found.get('id'))}."]

    return _told(situation, part)


def confidence(situation: Situation) -> Told:
    return _told(situation, lambda d: [_lead(d), *_others(d), *_unchecked(d)])


def recommend(situation: Situation) -> Told:
    """What follows from the diagnosis, and what already waits for a person."""
    pending = [p for p in items(situation, "proposals", "proposals") if p.get("state") == "pending"]
    lines = [line for found in _diagnoses(situation) for line in (_lead(found), *_action(found))]
    lines += [waiting_line(p, situation.now) for p in pending]
    return lines or _told(situation, lambda d: [_lead(d)])
