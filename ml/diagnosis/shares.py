"""Which inputs the harder mix comes from: Shapley values over a few groups of features.

Features that say the same (their columns correlate by 0.5 and more) are one group, of which there are eight at most. A
set of groups explains as much of a rise of loss as the reference rows show once they are weighted to have the current
mix of those inputs; a group's share is its mean contribution over all orders of adding groups (Shapley 1953). The
weights come from one logistic model of "current or reference", whose log odds are a sum over groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.metrics import Floats
from ml.monitors.overlap import Inputs
from ml.spec import ModelSpec

MOST_GROUPS, TOGETHER = 8, 0.5
MOST_ROWS, MIN_ROWS, DRAWS = 3_000, 100, 30


@dataclass(frozen=True, slots=True)
class Share:
    """What a group of features contributes to the rise of the mean loss, with the 90 % interval of a bootstrap."""

    features: tuple[str, ...]
    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        return {"features": list(self.features), "value": self.value, "interval": [self.low, self.high]}


def shares(
    spec: ModelSpec, reference: pd.DataFrame, loss: Floats, current: pd.DataFrame, seed: int
) -> tuple[Share, ...]:
    """The groups' shares, the largest first; none with fewer than 100 rows on a side.

    loss: of the reference rows. Raises: DataError where no used column varies.
    """
    if min(len(reference), len(current)) < MIN_ROWS:
        return ()
    rng = np.random.default_rng(seed)
    keep, mine = _some(rng, len(reference)), _some(rng, len(current))
    reference, loss, current = reference.iloc[keep], loss[keep], current.iloc[mine]
    inputs = Inputs(spec, reference, current)
    x, y = inputs.matrix(reference), inputs.matrix(current)
    groups = _groups(inputs.owners, np.vstack([x, y]))
    columns = [[i for i, name in enumerate(inputs.owners) if name in group] for group in groups]
    found = _values(x, y, loss, columns)
    drawn = []
    for _ in range(DRAWS):
        a, b = rng.integers(0, len(x), len(x)), rng.integers(0, len(y), len(y))
        drawn.append(_values(x[a], y[b], loss[a], columns))
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    out = [
        Share(tuple(g), float(v), float(min(a, v)), float(max(b, v)))
        for g, v, a, b in zip(groups, found, low, high, strict=True)
    ]
    return tuple(sorted(out, key=lambda s: -abs(s.value)))


def _some(rng: np.random.Generator, n: int) -> npt.NDArray[np.int_]:
    return np.arange(n) if n <= MOST_ROWS else np.sort(rng.choice(n, MOST_ROWS, replace=False))


def _groups(owners: list[str], columns: Floats) -> list[list[str]]:
    """Features in clusters by average linkage; two are as near as their two most correlated columns."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    names = list(dict.fromkeys(owners))
    if len(names) == 1:
        return [names]
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    near = np.abs(scaled.T @ scaled) / len(scaled)
    place = {name: [i for i, owner in enumerate(owners) if owner == name] for name in names}
    apart = np.array([[1 - near[np.ix_(place[a], place[b])].max() for b in names] for a in names])
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(np.clip(apart, 0, None), checks=False), "average")
    label = fcluster(tree, 1 - TOGETHER, "distance")
    if label.max() > MOST_GROUPS:
        label = fcluster(tree, MOST_GROUPS, "maxclust")
    return [[name for name, k in zip(names, label, strict=True) if k == g] for g in range(1, int(label.max()) + 1)]


def _values(x: Floats, y: Floats, loss: Floats, columns: list[list[int]]) -> Floats:
    """Shapley value of each group of columns."""
    from sklearn.linear_model import LogisticRegression

    both = np.vstack([x, y])
    side = np.r_[np.zeros(len(x)), np.ones(len(y))]
    model = LogisticRegression(C=0.1, max_iter=200).fit(np.hstack([both, both**2]), side)
    weight = model.coef_[0]
    width = x.shape[1]
    odds = [x[:, c] @ weight[c] + x[:, c] ** 2 @ weight[[width + i for i in c]] for c in columns]
    k = len(columns)
    usual = float(loss.mean())
    worth: dict[frozenset[int], float] = {frozenset(): 0.0}
    for size in range(1, k + 1):
        for members in combinations(range(k), size):
            log_ratio = np.sum([odds[i] for i in members], axis=0)
            ratio = np.exp(np.clip(log_ratio - log_ratio.mean(), -6, 6))
            ratio = np.minimum(ratio, np.quantile(ratio, 0.995))
            worth[frozenset(members)] = float((ratio * loss).sum() / ratio.sum()) - usual
    value = np.zeros(k)
    for i in range(k):
        rest = [j for j in range(k) if j != i]
        for size in range(k):
            chance = factorial(size) * factorial(k - size - 1) / factorial(k)
            for members in combinations(rest, size):
                value[i] += chance * (worth[frozenset((*members, i))] - worth[frozenset(members)])
    return value
