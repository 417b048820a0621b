"""The narrative of a diagnosis without a model: the ranked causes in sentences, each with its facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.domain.wording import moment, names, percent, visible, words

MOST = 3


def told(document: Mapping[str, Any]) -> str:
    """A diagnosis document in a few sentences, with no number that is not in it."""
    causes = document.get("causes") or []
    if not causes:
        return "No cause was found."
    lead = causes[0]
    facts = {str(fact["id"]): fact for fact in document.get("evidence", [])}
    lines = [_lead(lead)]
    for title, key in (("For it", "supports"), ("Against it", "contradicts")):
        said = [f"{_clause(facts[one].get('statement'))} [{one}]" for one in lead.get(key, []) if one in facts][:MOST]
        if said:
            lines.append(f"{title}: {'; '.join(said)}.")
    if others := [f"{words(str(c['cause']))} {percent(float(c['probability']))} %" for c in causes[1 : MOST + 1]]:
        lines.append(f"Less likely: {', '.join(others)}.")
    action: Mapping[str, Any] = document.get("action") or {}
    if action:
        ask = " A person should choose." if action.get("escalate") else ""
        lines.append(f"What follows: {words(str(action.get('kind', '')))}, because {_clause(action.get('why'))}.{ask}")
    if unchecked := [_clause(one.get("what")) for one in document.get("not_checked", [])][:MOST]:
        lines.append(f"Not checked: {'; '.join(unchecked)}.")
    return "\n".join(lines)


def _lead(cause: Mapping[str, Any]) -> str:
    features = f" in {names([str(f) for f in cause['features']])}" if cause.get("features") else ""
    since = ""
    if cause.get("onset"):
        since = f", since {moment(datetime.fromisoformat(str(cause['onset'])))}"
    return f"Most likely {words(str(cause['cause']))}{features} ({percent(float(cause['probability']))} %){since}."


def _clause(text: object) -> str:
    return visible(str(text or ""), 300).strip().rstrip(".")
