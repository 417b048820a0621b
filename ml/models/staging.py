"""Is a version, answering beside the champion, good enough to go on? A verdict on paired losses. Pure.

A stage passes when its answers are not worse than the champion's by more than nobody minds (the lower bound of the
paired gain is above minus the tolerance), on enough rows. Harm ends it early, on evidence that many looks do not make
by chance (99.9 %: Haybittle 1971, Peto et al. 1976). At the end of its time it is judged once more, at 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.metrics import Floats
from ml.models.evaluation import paired_gain
from ml.results import Interval

MIN_ROWS = 30
EARLY = 0.999


@dataclass(frozen=True, slots=True)
class StageVerdict:
    """verdict: passed, failed, inconclusive, or None while it is too early to say. gain: the champion's mean row loss
    minus the version's, with its interval; None where there were too few rows."""

    verdict: str | None
    n: int
    gain: float | None = None
    interval: Interval | None = None
    tolerance: float = 0.0


def judge_stage(
    old: Floats, new: Floats, *, enough: int, over: bool, tolerance: float | None = None, seed: int = 0
) -> StageVerdict:
    """A verdict from the row losses of champion and version on the same rows, in order of time.

    enough: rows needed to pass before the stage's time is `over`. tolerance: in the unit of the loss; None: a tenth of
    the standard deviation of the champion's. Rows where either has no finite loss are left out.

    >>> loss = np.random.default_rng(0).exponential(size=400)
    >>> judge_stage(loss, loss * 0.9, enough=200, over=False).verdict
    'passed'
    >>> judge_stage(loss, loss * 1.5, enough=1000, over=False).verdict
    'failed'
    >>> judge_stage(loss[:20], loss[:20], enough=200, over=True).verdict
    'inconclusive'
    """
    usable = np.isfinite(old) & np.isfinite(new)
    old, new = old[usable], new[usable]
    n = len(old)
    if n < MIN_ROWS:
        return StageVerdict("inconclusive" if over else None, n)
    allowed = tolerance if tolerance is not None else max(0.1 * float(np.std(old)), 1e-6)
    blocks = np.arange(n) // max(1, round(n ** (1 / 3)))
    gain, interval = paired_gain(old - new, blocks, seed=seed)
    harm = interval if over else paired_gain(old - new, blocks, draws=4000, level=EARLY, seed=seed)[1]
    if harm.high < 0 and interval.low <= -allowed:
        verdict: str | None = "failed"
    elif interval.low > -allowed and (n >= enough or over):
        verdict = "passed"
    else:
        verdict = "inconclusive" if over else None
    return StageVerdict(verdict, n, gain, interval, allowed)
