"""What is asked to be tried or to be proposed: with which arguments; or what has to be asked back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from agent.conversation.offline.dialogue import Asked
from agent.conversation.offline.situation import Call, Plan, Situation, Unclear, given, having, one_model


def what_if(action: str) -> Plan:
    def plan(situation: Situation) -> list[Call]:
        model = one_model(situation)
        if action != "rollback":
            return [Call("what_if", {"model": model, "action": action})]
        first, version = _earlier(situation, model)
        return (
            [*first, Call("what_if", {"model": model, "action": action, "to_version": version})] if version else first
        )

    return plan


def _earlier(situation: Situation, model: str) -> tuple[list[Call], str | None]:
    """The version that is named, else the one that went live before the champion."""
    if situation.asked.versions:
        return [], situation.asked.versions[0]
    live = [str(x["version"]) for done in situation.of("deployments") for x in done.data.get("deployments", [])]
    return [Call("deployments", {"model": model})], next((v for v in live if v != live[0]), None)


def propose(kind: str) -> Plan:
    def plan(situation: Situation) -> list[Call]:
        asked, model = situation.asked, _one_for(situation, kind)
        first: list[Call] = []
        wanted: dict[str, Any] = {"model": model}
        if kind in ("rollback", "promote"):
            first, version = (
                _earlier(situation, model) if kind == "rollback" else ([], next(iter(asked.versions), None))
            )
            if version is None:
                if kind == "rollback" and not situation.of("deployments"):
                    return first
                raise Unclear(f"Which version of {model} do you mean? Name it, as in “{kind} {model} to version 2”.")
            wanted["to_version"] = version
        if kind in ("refresh_reference", "mark_data_unfit"):
            if asked.since is None:
                raise Unclear("Which time do you mean? Name its start and end, as in “from 3 May to 5 May”.")
            wanted |= given(since=asked.since, until=min(asked.until or situation.now, situation.now))
        if kind == "mark_data_unfit":
            if not asked.features:
                raise Unclear(f"Which columns of {model} are broken?")
            wanted["features"] = list(asked.features)
        if kind == "silence":
            wanted |= given(until=_end_of_silence(asked, situation.now), monitor=None)
            wanted |= given(feature=next(iter(asked.features), None), monitor=_monitor(asked))
        return [
            *first,
            Call(f"propose_{kind}", wanted | {"why": f"Asked for in conversation: “{asked.text.strip()[:300]}”"}),
        ]

    return plan


def _one_for(situation: Situation, kind: str) -> str:
    if kind in ("mark_data_unfit", "silence") and situation.asked.features and not situation.asked.said_model:
        holders = having(situation)
        if len(holders) == 1:
            return holders[0]
    return one_model(situation)


def _end_of_silence(asked: Asked, now: datetime) -> datetime:
    if asked.until is not None and asked.until > now:
        return asked.until
    if asked.since is not None:  # `for the last 3 days` makes no sense here: a length ahead is meant
        return now + abs(now - asked.since) if asked.since <= now else asked.since
    return now + timedelta(days=1)


def _monitor(asked: Asked) -> str | None:
    return {"psi": "drift.psi", "drift": "drift", "null": "quality"}.get(asked.monitor or "")
