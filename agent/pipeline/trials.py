"""A trial as people are shown it: the metric as it is and as it would be, and the paired gain with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Pair = tuple[float | None, float | None]
NOTHING: Pair = (None, None)


@dataclass(frozen=True, slots=True)
class TrialView:
    """One action on the recent rows that it would have changed. `loss` and `metric` are as it is, and as it would be;
    `gain` is the fall of the loss of a row, less `ordinary`, what any retraining gains."""

    kind: str
    n: int | None
    name: str
    metric: Pair
    loss: Pair
    gain: float | None
    low: float | None
    high: float | None
    ordinary: float = 0.0

    @property
    def shown(self) -> Pair:
        """What the bars show: the loss, in which the gain is counted, where it is known."""
        return self.metric if None in self.loss else self.loss

    @property
    def of_loss(self) -> bool:
        """Whether the bars show a loss that is not the metric itself."""
        before, after = self.loss
        if before is None or after is None:
            return False
        return not (_same(before, self.metric[0]) and _same(after, self.metric[1]))

    @property
    def drawable(self) -> bool:
        """Whether the two values can be shown as lengths."""
        before, after = self.shown
        return before is not None and after is not None and min(before, after) >= 0


def read_trial(document: Mapping[str, Any] | None) -> TrialView | None:
    """A trial from a diagnosis, or the verification after which a rollback is offered; None where neither is given."""
    if not document:
        return None
    gain, (low, high), n = _number(document.get("gain")), _pair(document.get("interval")), document.get("n")
    metric, loss = document.get("metric"), document.get("loss")
    if isinstance(metric, Mapping):
        view = TrialView(
            kind=str(document.get("kind") or document.get("action") or ""),
            n=n,
            name=str(metric.get("name", "")),
            metric=(_number(metric.get("before")), _number(metric.get("after"))),
            loss=(_number(loss.get("before")), _number(loss.get("after"))) if isinstance(loss, Mapping) else NOTHING,
            gain=gain,
            low=low,
            high=high,
            ordinary=max(_number(document.get("ordinary_gain")) or 0.0, 0.0),
        )
        return None if view.gain is None and not view.drawable else view
    if "do_nothing" not in document:
        return None
    undone = (_number(document.get("after")), _number(document.get("do_nothing")))
    return TrialView("rollback", n, str(metric or ""), undone, NOTHING, _minus(gain), _minus(high), _minus(low))


def read_trials(document: Mapping[str, Any]) -> tuple[list[TrialView], float]:
    """Every trial of a diagnosis, best first, and the scale that they share."""
    found = [view for item in document.get("trials", []) if (view := read_trial(item)) is not None]
    found.sort(key=lambda view: -(view.gain if view.gain is not None else -math.inf))
    ends = [abs(end) for view in found for end in (view.low, view.high) if end is not None]
    return found, max(ends, default=1.0) * 1.05 or 1.0


def _same(one: float, other: float | None) -> bool:
    return other is not None and math.isclose(one, other, rel_tol=1e-9)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _pair(value: Any) -> Pair:
    return (
        (_number(value[0]), _number(value[1])) if isinstance(value, (list, tuple)) and len(value) == 2 else (None, None)
    )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
