"""A trial as the page shows it: the metric as it is and as it would be, and the paired gain with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from agent.doors.console.charts import bar, whisker


@dataclass(frozen=True, slots=True)
class TrialView:
    """One action on the same recent rows as all others."""

    kind: str
    n: int | None
    metric: str
    before: float | None
    after: float | None
    gain: float | None
    low: float | None
    high: float | None

    @property
    def bars(self) -> tuple[Markup, Markup] | None:
        if self.before is None or self.after is None or min(self.before, self.after) < 0:
            return None
        most = max(self.before, self.after)
        return bar(self.before, most, "before"), bar(self.after, most, "after")

    def whisker(self, scale: float | None = None) -> Markup:
        if self.gain is None or self.low is None or self.high is None:
            return Markup("")
        return whisker(self.gain, self.low, self.high, scale or max(abs(self.low), abs(self.high)) * 1.15)


def read_trial(document: Mapping[str, Any] | None) -> TrialView | None:
    """A trial from a diagnosis, or the verification after which a rollback is offered; None where neither is given."""
    if not document:
        return None
    low, high = _pair(document.get("interval"))
    metric = document.get("metric")
    if isinstance(metric, Mapping):
        name, before, after = str(metric.get("name", "")), _number(metric.get("before")), _number(metric.get("after"))
    elif "do_nothing" in document:  # what undoing gives is what doing nothing would have given
        name, before, after = str(metric or ""), _number(document.get("after")), _number(document.get("do_nothing"))
        gain = _number(document.get("gain"))
        return TrialView("rollback", document.get("n"), name, before, after, _minus(gain), _minus(high), _minus(low))
    else:
        name = str(metric or "")
        before, after = _number(document.get("metric_before")), _number(document.get("metric_after"))
    kind = str(document.get("kind") or document.get("action") or "")
    view = TrialView(kind, document.get("n"), name, before, after, _number(document.get("gain")), low, high)
    return None if view.gain is None and view.before is None else view


def read_trials(document: Mapping[str, Any]) -> tuple[list[TrialView], float]:
    """Every trial of a diagnosis, best first, and the scale that they share."""
    found = [view for item in document.get("trials", []) if (view := read_trial(item)) is not None]
    found.sort(key=lambda view: -(view.gain if view.gain is not None else -math.inf))
    ends = [abs(end) for view in found for end in (view.low, view.high) if end is not None]
    return found, max(ends, default=1.0) * 1.05 or 1.0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _pair(value: Any) -> tuple[float | None, float | None]:
    return (
        (_number(value[0]), _number(value[1])) if isinstance(value, (list, tuple)) and len(value) == 2 else (None, None)
    )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
