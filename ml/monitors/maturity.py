"""Which labels may be trusted: rows whose label has had its time. Early labels are not a fair sample of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.spec import ModelSpec

Mask = npt.NDArray[np.bool_]
MIN_DELAYS = 20


@dataclass(frozen=True, slots=True)
class Maturity:
    """`usable`: rows with a prediction and a label old enough to be unbiased. `mature` rows should have a label by now,
    `coverage` is the share of them that do, `usual` that of the healthy rows. `overdue` where labels fell behind,
    `since` when the first of them was served, `due` when the next labels are expected."""

    usable: Mask
    mature: int
    coverage: float
    usual: float
    overdue: bool
    delay: timedelta
    due: datetime | None
    since: datetime | None


def usual_delay(spec: ModelSpec, healthy: pd.DataFrame | None) -> timedelta:
    """How long a row waits for its label: the spec's delay, or nine tenths of the healthy ones where that is longer."""
    if healthy is None or "label_timestamp" not in healthy or "timestamp" not in healthy:
        return spec.label_delay
    late = (healthy["label_timestamp"] - healthy["timestamp"]).dropna()
    if len(late) < MIN_DELAYS:
        return spec.label_delay
    return max(spec.label_delay, timedelta(seconds=float(late.dt.total_seconds().quantile(0.9))))


def maturity(spec: ModelSpec, healthy: pd.DataFrame | None, current: pd.DataFrame, as_of: datetime | None) -> Maturity:
    """Judge the labels of `current` (rows in order of time) at `as_of`.

    The delay is the spec's, or the 90th percentile of healthy delays where that is longer. Where every row has its
    label already, all of them are usable. Without times nothing can be overdue.
    """
    known = (current["label"].notna() & current["prediction"].notna()).to_numpy()
    delay, usual = usual_delay(spec, healthy), 1.0
    if healthy is not None and len(healthy):
        served = healthy["prediction"].notna()
        usual = float(healthy.loc[served, "label"].notna().mean()) if served.any() else 1.0
    times = current["timestamp"]
    if as_of is None or len(current) == 0 or bool(times.isna().all()):
        share = float(known.mean()) if len(known) else 0.0
        return Maturity(known, len(known), share, usual, False, delay, None, None)
    old = (times <= pd.Timestamp(as_of) - delay).to_numpy()
    places = np.flatnonzero(old)
    n = len(places)
    coverage = float(known[places].mean()) if n else 0.0
    tail = places[-max(n // 3, min(n, 20)) :] if n else places
    recent = float(known[tail].mean()) if n else 0.0
    overdue = n >= 20 and usual > 0 and min(coverage, recent) < 0.5 * usual
    since = None
    if overdue:
        hits = np.flatnonzero(known[places])
        first = (
            places[min(int(hits[-1]) + 1, n - 1)]
            if len(hits) and coverage >= 0.5 * usual
            else _first_gap(known, places)
        )
        since = times.iloc[int(first)].to_pydatetime()
    full = bool(len(known)) and known.mean() >= 0.95 * max(coverage, 1e-9)
    pending = ~known & ~old
    due = (times[pending].min() + delay).to_pydatetime() if pending.any() else None
    return Maturity(known if full else known & old, n, coverage, usual, overdue, delay, due, since)


def _first_gap(known: Mask, places: npt.NDArray[np.intp]) -> int:
    """The row after which labels are fewest compared with before (largest fall of the running share)."""
    have = known[places].astype(np.float64)
    n = len(have)
    k = np.arange(1, n)
    total = np.cumsum(have)[:-1]
    fall = (total / k - (have.sum() - total) / (n - k)) * np.sqrt(k * (n - k))
    return int(places[int(k[np.argmax(fall)])]) if n > 1 and fall.max() > 0.3 * n else int(places[0])
