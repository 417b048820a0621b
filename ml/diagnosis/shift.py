"""Which inputs moved: explains a diagnosis, never decides one.

Not `ml.monitors.drift`, on purpose. A monitor compares counts in fixed bins, cheap for ever and calibrated to alarm; a
diagnosis has both frames in memory, looks once, and needs an effect that means the same for a few hundred rows as for
many: the largest difference of two distributions, which needs no bins and no profile of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.bins import as_numbers
from ml.diagnosis.density import distance
from ml.spec import FeatureType, ModelSpec

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shift:
    """A column that moved: effect size (Kolmogorov-Smirnov or total variation distance) and p-value."""

    feature: str
    effect: float
    p: float
    n: int
    used: bool
    calendar: bool


def shifts(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, *, alpha: float, floor: float = 0.1
) -> list[Shift]:
    """The columns that moved by more than `floor`, false discovery controlled (Benjamini-Hochberg), largest first.

    A text counts by its length, a time by its age at the row's timestamp.
    """
    from scipy import stats

    tested: list[Shift] = []
    for name, feature in spec.features.items():
        a, b = reference[name], current[name]
        if feature.type not in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            x, y = as_numbers(a, feature.type, reference), as_numbers(b, feature.type, current)
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
            if min(len(x), len(y)) < 20:
                continue
            effect = distance(x, y)
            size = len(x) * len(y) / (len(x) + len(y))
            p = float(stats.kstwobign.sf(np.sqrt(size) * effect))
        else:
            if min(len(a), len(b)) < 20:
                continue
            codes, levels = pd.factorize(pd.concat([a, b]).astype(str))
            table = np.stack([np.bincount(c, minlength=len(levels)) for c in (codes[: len(a)], codes[len(a) :])])
            order = np.argsort(-table.sum(axis=0), kind="stable")
            table = table[:, order].astype(np.float64)
            table = np.column_stack([table[:, :30], table[:, 30:].sum(axis=1)])
            table = table[:, table.sum(axis=0) >= 5]
            if table.shape[1] < 2:
                continue
            p = float(stats.chi2_contingency(table, lambda_="log-likelihood").pvalue)
            shares = table / table.sum(axis=1, keepdims=True)
            effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
        tested.append(Shift(name, effect, p, len(b), feature.used, False))
    tested.sort(key=lambda s: s.p)
    passed = [i for i, s in enumerate(tested, 1) if s.p <= alpha * i / len(tested)]
    found = [
        replace(s, calendar=_calendar(current[s.feature], current["timestamp"]))
        for s in tested[: max(passed, default=0)]
        if s.effect >= floor
    ]
    return sorted(found, key=lambda s: -s.effect)


def _calendar(column: pd.Series, times: pd.Series) -> bool:
    """Whether the column is a function of the date (a month, a season, the day of the year): it can only move."""
    if times.isna().all():
        return False
    day = times.dt.floor("D")
    if day.nunique() < 5:
        return False
    groups = column.astype(str).groupby(day)
    return bool((groups.nunique() <= 1).mean() > 0.95 and len(column) > 3 * day.nunique() and column.nunique() >= 2)
