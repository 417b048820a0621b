"""Is the model harmed? Difference of mean loss between current and healthy rows, over the window and over its later
part, with a standard error that knows rows are not independent; calibration in the large; and the power to see it.

Source: design of `diagnosis` (gates, section 3); Newey and West (1987) for the variance of dependent rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.metrics import roc_auc
from ml.monitors.performance import Z_POWER, default_tolerance, design_effect

Floats = npt.NDArray[np.float64]
Z_WHOLE, Z_PART = 1.96, 2.58
MIN_LABELS = 30


@dataclass(frozen=True, slots=True)
class Harm:
    """`difference` = mean loss of the current rows from `start` on, less that of the baseline. `harmed` when its lower
    bound passes `tolerance`; `doubtful` when it cannot be told (the smallest visible change exceeds the tolerance, and
    the upper bound passes it). `start` is the row from which it was judged, `first` the row where the
    harm seems to begin."""

    difference: float
    se: float
    low: float
    high: float
    baseline: float
    current: float
    n: int
    tolerance: float
    start: int
    first: int
    onset: pd.Timestamp | None
    harmed: bool
    doubtful: bool
    visible: float
    needed: int
    gradual: bool
    design_effect: float

    @property
    def likely(self) -> bool:
        """A rise for certain, beyond the tolerance by what is seen and not yet for certain."""
        return not self.harmed and self.low > 0 and self.difference > self.tolerance

    @property
    def inconclusive(self) -> bool:
        """Too few labels by far, or a rise beyond the tolerance that is not yet certain."""
        few = self.visible > 4 * self.tolerance * np.sqrt(self.design_effect)
        return self.doubtful and bool(few or self.difference - self.se > self.tolerance)


def step(values: Floats, margin: int) -> tuple[int, float]:
    """The row at which the mean changes most (largest standardised CUSUM, off the ends by `margin`), and |z| there."""
    n = len(values)
    if n < 2 * margin + 2:
        return 0, 0.0
    total = np.cumsum(values)
    k = np.arange(margin, n - margin)
    left = total[k - 1] / k
    right = (total[-1] - total[k - 1]) / (n - k)
    spread = float(np.std(values)) or 1.0
    z = np.abs(right - left) / (spread * np.sqrt(1 / k + 1 / (n - k)))
    best = int(np.argmax(z))
    return int(k[best]), float(z[best])


def assess(
    baseline: Floats,
    current: Floats,
    times: pd.Series,
    *,
    tolerance: float | None,
    window_means: Floats,
    starts: tuple[int, ...] = (),
    clock: bool = True,
) -> Harm:
    """Judge the current losses (in order of time) against the baseline's.

    `window_means` are the mean losses of earlier healthy windows of about this size (may be empty): windows differ by
    more than sampling. `starts` are row numbers from which a known event (a deployment, a break) holds.
    """
    bound = default_tolerance(baseline) if tolerance is None else tolerance
    m, n = len(current), len(baseline)
    base, base_sd = (float(baseline.mean()), float(baseline.std())) if n else (float("nan"), float("nan"))
    effect = max(design_effect(baseline), design_effect(current, 4))
    between = float(np.var(window_means, ddof=1)) if len(window_means) >= 5 else 0.0
    base_var = base_sd**2 * (design_effect(baseline) if n else 1.0) / max(n, 1)

    def judge(first: int) -> tuple[float, float]:
        part = current[first:]
        sd = max(float(part.std()), base_sd / 2)
        variance = sd**2 * effect / max(len(part), 1)
        extra = max(0.0, between - base_sd**2 / max(m, 1)) if between else 0.0
        return float(part.mean()) - base, float(np.sqrt(variance + extra + base_var))

    difference, se = judge(0)
    visible = Z_POWER * se
    spread = max(base_sd, float(current.std()) if m else 0.0)
    needed = int(np.ceil((Z_POWER * spread * np.sqrt(effect) / bound) ** 2)) if bound > 0 and np.isfinite(spread) else 0
    start, harmed, low = 0, difference - Z_WHOLE * se > bound, difference - Z_WHOLE * se
    margin = max(20, m // 20)
    at, strength = step(current, margin)
    for first in sorted({*starts, *((at,) if strength > 3.2 * np.sqrt(effect) else ()), m // 2, 3 * m // 4}):
        if harmed and (first != at or strength < 3.5 * np.sqrt(effect)):
            continue
        if m - first < MIN_LABELS or first <= 0:
            continue
        d, e = judge(first)
        if d - Z_PART * e > bound and d > difference:
            difference, se, start, harmed, low = d, e, first, True, d - Z_PART * e
    onset = None
    gradual = False
    exact = start
    if harmed:
        exact = at if strength > 3.2 * np.sqrt(effect) and current[at:].mean() > current[:at].mean() else start
        if clock and exact > 0:
            onset = times.iloc[exact]
        begin = ramp_start(current, exact)
        gradual = begin is not None
        if begin is not None:
            exact = begin
            onset = times.iloc[exact] if clock else None
        if start == 0 and clock and onset is None and m:
            onset = times.iloc[0]
    high = difference + Z_WHOLE * se
    return Harm(
        difference,
        se,
        low,
        high,
        base,
        float(current[start:].mean()) if m else float("nan"),
        m - start,
        bound,
        start,
        exact,
        onset,
        harmed,
        (not harmed) and visible > bound and high > bound,
        visible,
        needed,
        gradual,
        effect,
    )


def ramp_start(loss: Floats, at: int) -> int | None:
    """The row where a ramp begins that explains the losses better than a step at `at` does; None where none does."""
    n = len(loss)
    if n < 100:
        return None
    x = np.arange(n) / n
    best, start = np.inf, 0.0
    for begin in np.linspace(0, 0.7, 15):
        for length in (0.2, 0.35, 0.5, 0.75, 1.0):
            ramp = np.clip((x - begin) / length, 0, 1)
            centered = ramp - ramp.mean()
            slope = float((centered * loss).sum() / (centered**2).sum())
            if slope > 0:
                rest = float(((loss - loss.mean() - slope * centered) ** 2).sum())
                if rest < best:
                    best, start = rest, float(begin)
    before, after = loss[:at], loss[at:]
    stepped = float(((after - after.mean()) ** 2).sum())
    stepped += float(((before - before.mean()) ** 2).sum()) if len(before) else 0.0
    return int(start * n) if best < stepped * (1 - 4 / n) else None


def calibration_gap(truth: Floats, score: Floats) -> tuple[float, float]:
    """Mean outcome less mean probability, and its standard error."""
    rest = truth - score
    n = max(len(rest), 1)
    return float(rest.mean()) if len(rest) else float("nan"), float(rest.std() / np.sqrt(n))


def ranking_lost(truth0: Floats, score0: Floats, truth: Floats, score: Floats) -> bool:
    """Whether the area under the ROC curve fell by more than 0.04 and sampling: no map of the score brings it back."""
    now = roc_auc(truth, score)
    few = min(truth.sum(), len(truth) - truth.sum())
    if not np.isfinite(now) or few < 10:
        return False
    return roc_auc(truth0, score0) - now > 0.04 + 1.64 * float(np.sqrt(max(now * (1 - now), 0.01) / (3 * few)))
