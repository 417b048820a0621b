"""What is usual: how much healthy data moves by itself, and how sure one must be when one looks again and again.

Two things make a single test raise false alarms on a schedule. Windows differ by more than sampling, so a shift is held
against the shifts between healthy stretches (pieces of the reference, and past windows). And ninety daily looks are
ninety chances, so a look is judged at the level that makes a quarter's looks together as rare as `alpha` says.

Sources: Rao and Scott (1981) for dividing a chi-square by the dispersion; Satterthwaite (1946) for its degrees of
freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from ml.data.bins import BinSet
from ml.data.profiles import Profile, profile_frame
from ml.results import Window

HORIZON = timedelta(days=90)
OVERLAP = 4.0
"""How much oftener a sliding window passes a bound than windows side by side do (daily looks at a week)."""
PIECES, MOST_PIECES, FEWEST_PIECES = 8, 30, 4
PIECE_ROWS = 40
MANY = 20
MOVES = 0.01
"""Population stability index by which a healthy column is taken to move until `MANY` stretches tell: that of a mean
which wanders by a tenth of a standard deviation."""


def level(alpha: float, window: Window) -> float:
    """The level of one look at which all looks of `HORIZON` together raise a false alarm with chance `alpha`.

    >>> from datetime import UTC, datetime
    >>> week = Window.before(datetime(2026, 1, 8, tzinfo=UTC), timedelta(days=7))
    >>> round(level(0.05, week), 5)
    0.00097
    """
    return alpha * min(window.length / HORIZON, 1.0) / OVERLAP


def pieces(reference: pd.DataFrame, bins: BinSet, length: timedelta) -> tuple[Profile, ...]:
    """Profiles of the reference cut in time: pieces as long as a window, shorter ones where that makes too few.

    None where the rows have no times, or too few for four pieces of forty.
    """
    if "timestamp" not in reference or len(reference) < FEWEST_PIECES * PIECE_ROWS:
        return ()
    times = reference["timestamp"].to_numpy("datetime64[us]").astype(np.int64)
    if reference["timestamp"].isna().any() or times.max() == times.min():
        return ()
    span = float(times.max() - times.min()) / 1e6
    count = int(np.clip(span / length.total_seconds(), PIECES, MOST_PIECES))
    count = min(count, len(reference) // PIECE_ROWS)
    codes = np.minimum(((times - times.min()) / (times.max() - times.min()) * count).astype(int), count - 1)
    plain = reference.copy(deep=False)
    plain.attrs = {}  # the count of invalid values belongs to the whole
    cut = [plain[codes == k] for k in range(count)]
    cut = [part for part in cut if len(part) >= PIECE_ROWS // 2]
    return tuple(profile_frame(part, bins) for part in cut) if len(cut) >= FEWEST_PIECES else ()


@dataclass(frozen=True, slots=True)
class Jitter:
    """How much a number of healthy stretches moves beyond sampling. amount: 0 where sampling explains all. stretches:
    how many it was learned from."""

    amount: float = 0.0
    stretches: int = 0


def jitter(excesses: Sequence[float]) -> Jitter:
    """From numbers that would be 0 on average were there only sampling; raised by two standard errors, as it is
    estimated from a few stretches.

    >>> jitter([0.01, -0.01, 0.02, -0.02]).amount < 0.02, jitter([]).stretches
    (True, 0)
    """
    values = np.asarray([v for v in excesses if np.isfinite(v)], np.float64)
    k = len(values)
    if k < FEWEST_PIECES:
        return Jitter(0.0, 0)
    return Jitter(max(float(values.mean() + 2 * values.std(ddof=1) / np.sqrt(k)), 0.0), k)


def at_least(usual: Jitter) -> Jitter:
    """What a few stretches tell, and no less than columns usually move.

    >>> at_least(Jitter()), at_least(Jitter(0.03, 8)).amount, at_least(Jitter(0.0, 20)).amount
    (Jitter(amount=0.01, stretches=8), 0.03, 0.0)
    """
    if usual.stretches >= MANY:
        return usual
    return Jitter(max(usual.amount, MOVES), max(usual.stretches, PIECES))


def tail(statistic: float, freedom: int, expectation: float, usual: Jitter) -> float:
    """p-value of a statistic that is about `expectation` / `freedom` * chi-square(`freedom`) under sampling alone, and
    that healthy stretches move by `usual.amount` more, mostly in one direction.

    >>> tail(0.02, 10, 0.01, Jitter()) < 0.05 < tail(0.02, 10, 0.01, Jitter(0.01, 8))
    True
    """
    from scipy.special import chdtrc, fdtrc

    if usual.stretches == 0 or usual.amount <= 0:
        return float(chdtrc(freedom, freedom * statistic / expectation))
    ratio = 1 + usual.amount / expectation
    effective = ratio**2 / (1 / freedom + (ratio - 1) ** 2)
    return float(fdtrc(effective, effective * usual.stretches, statistic / expectation / ratio))
