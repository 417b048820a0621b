"""Proposals: what waits, what one does, who may decide, how risky it is, how to undo it, what its trial showed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.happened import about, head, waiting_line
from agent.conversation.offline.tell.sentence import Told, cite, clause, interval, items, number, page, trouble, when
from agent.domain.wording import length, names, words
from tools.actions import CHARACTER, ActionKind

Part = Callable[[Mapping[str, Any], datetime], Told]


def queue(situation: Situation) -> Told:
    found = [p for p in items(situation, "proposals", "proposals") if p.get("state") == "pending"]
    shown, more = page(situation, found, "proposals")
    if found:
        return [*[waiting_line(p, situation.now) for p in shown], *more]
    return _errors(situation) or ["Nothing waits for a decision."]


def _errors(situation: Situation) -> Told:
    return trouble(d for d in situation.of("proposals") if d.document.get("status") == "error")


def _meant(situation: Situation) -> list[Mapping[str, Any]]:
    """The proposal that is named; else the ones that wait; else the newest."""
    found = items(situation, "proposals", "proposals")
    if situation.asked.proposal:
        return found
    waiting = [p for p in found if p.get("state") == "pending"]
    return waiting[:3] or found[:1]


def _told(situation: Situation, part: Part) -> Told:
    lines = [line for p in _meant(situation) for line in part(p, situation.now)]
    return lines or trouble(situation.of("proposals")) or ["Nothing waits for a decision."]


def proposal(situation: Situation) -> Told:
    def part(p: Mapping[str, Any], now: datetime) -> Told:
        return [*about(p, now), *_trial(p), *_risk(p, now)]

    return _told(situation, part)


def who_may(situation: Situation) -> Told:
    def part(p: Mapping[str, Any], now: datetime) -> Told:
        if p.get("state") != "pending":
            return [head(p, now)]
        people = [
            clause(w.get("person", w.get("name")) if isinstance(w, Mapping) else w, 60)
            for w in p.get("may_decide") or []
        ]
        who = f"{names(people, 12)} may decide" if people else "nobody who is named in approvals.yaml may decide"
        needed = p.get("still_needed")
        if isinstance(needed, int):
            who += f"; {needed} more {'approval is' if needed == 1 else 'approvals are'} needed"
        asked_by = (
            f", and whoever asked for it ({clause(p['requested_by'], 60)}) may not" if p.get("requested_by") else ""
        )
        return [f"{clause(p.get('model'), 80)}: {who}{asked_by}{cite(p.get('id'))}."]

    return _told(situation, part)


def risk(situation: Situation) -> Told:
    return _told(situation, _risk)


def _character(p: Mapping[str, Any]) -> Any:
    try:
        return CHARACTER[ActionKind(str(p.get("kind")))]
    except (ValueError, KeyError):
        return None


def _risk(p: Mapping[str, Any], now: datetime) -> Told:
    known = _character(p)
    text = f"{clause(p.get('model'), 80)}: {words(clause(p.get('kind'), 40))} is of {clause(p.get('risk'), 20)} risk"
    if known is not None:
        text += f"; it touches {known.blast_radius}; to undo it: {known.undo}"
    return [f"{text}{cite(p.get('id'))}."]


def undo(situation: Situation) -> Told:
    def part(p: Mapping[str, Any], now: datetime) -> Told:
        known = _character(p)
        about = f"{clause(p.get('model'), 80)}, {words(clause(p.get('kind'), 40))}"
        if known is None:
            return [f"{about}: how to undo it is not known{cite(p.get('id'))}."]
        text = f"{about}: to undo it, {known.undo}"
        action = p.get("action")
        before = action.get("expected_version") if isinstance(action, Mapping) else None
        text += f" (version {clause(before, 40)})" if before and known.changes_model else ""
        return [
            f"{text}{cite(p.get('id'))}.",
            f"If the check afterwards fails, that is proposed by itself{cite(p.get('id'))}.",
        ]

    return _told(situation, part)


def trial(situation: Situation) -> Told:
    def part(p: Mapping[str, Any], now: datetime) -> Told:
        told = _trial(p)
        return told or [f"{clause(p.get('model'), 80)}: no trial was made for it{cite(p.get('id'))}."]

    return _told(situation, part)


def _trial(p: Mapping[str, Any]) -> Told:
    found = p.get("trial")
    if not isinstance(found, Mapping) or not found:
        return []
    text = f"{clause(p.get('model'), 80)}: tried on {found.get('n', 'an unknown number of')} recent labelled rows"
    metric = found.get("metric")
    if isinstance(metric, Mapping) and metric.get("after") is not None:
        text += f", {clause(metric.get('name'), 60)} before {number(metric.get('before'))}"
        text += f", after {number(metric['after'])}"
    elif found.get("after") is not None:
        text += f", {clause(metric, 60)} before {number(found.get('before'))}, after {number(found['after'])}"
    if found.get("gain") is not None:
        spread = found.get("interval")
        between = (
            interval({"low": spread[0], "high": spread[1]}) if isinstance(spread, list) and len(spread) == 2 else ""
        )
        text += f"; gain in loss {number(found['gain'])}{between}"
    return [f"{text}{cite(p.get('id'))}."]


def expiry(situation: Situation) -> Told:
    def part(p: Mapping[str, Any], now: datetime) -> Told:
        if p.get("state") != "pending":
            return [head(p, now)]
        by = datetime.fromisoformat(str(p["approve_by"]))
        left = f"{length(by - now)} left" if by > now else "its time is over"
        return [f"{clause(p.get('model'), 80)}: until {when(p['approve_by'])}, {left}{cite(p.get('id'))}."]

    return _told(situation, part)


def decisions(situation: Situation) -> Told:
    found = items(situation, "proposals", "proposals")
    told = [
        p for p in found if p.get("decisions") or p.get("state") in ("rejected", "expired", "superseded", "withdrawn")
    ]
    shown, more = page(situation, told, "proposals")
    if shown:
        return [*[head(p, situation.now) for p in shown], *more]
    waiting = [head(p, situation.now) for p in found[:3]]
    return (
        ["Nobody has decided yet." if found else "No decision is on record.", *waiting]
        if not _errors(situation)
        else _errors(situation)
    )


def where_to_approve(situation: Situation) -> Told:
    return _where(situation, "approve")


def where_to_reject(situation: Situation) -> Told:
    return _where(situation, "reject")


def _where(situation: Situation, verb: str) -> Told:
    """I decide nothing: where a person does."""
    found = [p for p in _meant(situation) if p.get("state") == "pending" or situation.asked.proposal]
    lines = [f"I cannot {verb} anything: a person does, on the approvals page of the console or in a terminal."]
    for p in found:
        if p.get("state") == "pending":
            reason = ' --reason "…"' if verb == "reject" else ""
            lines.append(f"For this one: `watchkeeper {verb} {p.get('id')}{reason}`{cite(p.get('id'))}.")
        lines.append(head(p, situation.now))
    if not found:
        lines += trouble(situation.of("proposals")) or ["Nothing waits for a decision."]
    return lines
