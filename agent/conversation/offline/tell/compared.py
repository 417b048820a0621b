"""Two spans of time beside each other, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.sentence import Told, clause, interval, number, trouble, when


def compared(situation: Situation) -> Told:
    """Each model's metric then and now, and whether the difference is more than chance; then what was counted."""
    lines: Told = []
    for done in situation.of("reports"):
        if not done.ok:
            continue
        now, before = done.data.get("period") or {}, done.data.get("before") or {}
        model = done.call.arguments.get("model")
        about = f"{clause(model, 80)}, " if model else ""
        lines.append(
            f"{about}{when(now.get('start'))} to {when(now.get('end'))}, beside {when(before.get('start'))} to "
            f"{when(before.get('end'))}."
        )
        lines += [_line(one) for one in done.data.get("models") or []]
        facts, earlier = done.data.get("facts") or {}, done.data.get("facts_before") or {}
        said = [f"{key} {facts[key]} (before: {earlier.get(key)})" for key in facts]
        lines.append(f"{', '.join(said).capitalize()}.")
        period = clause(done.call.arguments.get("period"), 20)
        of = f" --model {clause(model, 80)}" if model else ""
        lines.append(f"As a report: `watchkeeper report --kind comparison --period {period}{of}`.")
    return lines + trouble(situation.of("reports"))


def _line(one: Mapping[str, Any]) -> str:
    name, metric = clause(one.get("name"), 80), clause(one.get("metric"), 60)
    before, now = one.get("before") or {}, one.get("latest") or {}
    if one.get("change") is None:
        known = next((f", {side}: {number(p['value'])}{interval(p)}" for side, p in (("now", now), ("before", before))
                      if p.get("value") is not None), "")  # fmt: skip
        return f"{name}: {metric} is not known in both{known}."
    text = f"{name}: {metric} {number(now.get('value'))}{interval(now)} after {number(before.get('value'))}"
    verdict = one.get("verdict")
    said = "a difference within chance" if verdict == "within chance" else f"it got {clause(verdict, 10)}"
    return f"{text}{interval(before)} ({clause(one.get('better'), 10)} is better): {said}."
