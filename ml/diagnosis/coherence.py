"""Columns that no longer go together: values that each are as ever, in rows where they do not belong.

Where a column follows from the others (temperature from its minimum and maximum), each row says whether its value can
be true. A column that was shuffled, joined to the wrong rows or swapped with one like it in some rows keeps its
distribution and loses this. What it takes: residuals beyond nearly all healthy ones, on a good part of the rows.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

from ml.diagnosis.density import distance, mixture
from ml.diagnosis.repair import Break, BreakKind, Mask, Repair
from ml.diagnosis.scene import Scene, onset_row
from ml.spec import FeatureType

Floats = npt.NDArray[np.float64]
MOST_COLUMNS = 12
MIN_HEALTHY, MIN_CURRENT = 200, 50
LEAST_GAIN = 20.0
EXPLAINED = 0.6
"""Share of a column's variance that the others explain on healthy rows that did not teach it."""
USUAL, SHARE = 0.995, 0.1
STRAY = 1.5
"""A healthy residual within this factor of the limit is near to being odd."""
REACH = 4.0
"""Standard deviations beyond which a value teaches and says no more: a stray 9999 bends no relation."""


class _Follows:
    """How each column follows from the others, learnt on the first half of the healthy rows and held to the second."""

    def __init__(self, names: list[str], first: Floats, second: Floats) -> None:
        self.names = names
        low, self.middle, high = np.percentile(first, [25, 50, 75], axis=0)
        self.spread = np.where(high > low, (high - low) / 1.349, first.std(axis=0) + 1e-12)
        self.raw = second
        self.first, self.second = self.scaled(first), self.scaled(second)
        self.strays: dict[int, Mask] = {}

    def scaled(self, values: Floats) -> Floats:
        return np.asarray((values - self.middle) / self.spread, dtype=np.float64)

    def odd(self, target: int, rows: Floats, without: int | None = None) -> Mask | None:
        """Rows whose value does not follow from the others; None where the column never followed from them."""
        others = [j for j in range(len(self.names)) if j not in (target, without)]
        if not others:
            return None

        def terms(part: Floats) -> Floats:
            x = np.clip(part[:, others], -REACH, REACH)
            return np.column_stack([np.ones(len(x)), x, x**2])

        weight = np.linalg.lstsq(terms(self.first), self.first[:, target].clip(-REACH, REACH), rcond=None)[0]
        usual = np.abs(self.second[:, target] - terms(self.second) @ weight)
        spread = float(self.second[:, target].clip(-REACH, REACH).var())
        if 1 - float((usual.clip(max=REACH) ** 2).mean()) / max(spread, 1e-9) < EXPLAINED:
            return None
        limit = 1.2 * float(np.quantile(usual, USUAL))
        if without is None:
            self.strays[target] = usual > limit / 1.2 / STRAY
        scaled = self.scaled(rows)
        return np.asarray(np.abs(scaled[:, target] - terms(scaled) @ weight) > limit, dtype=bool)

    def oddest(self, target: int, size: int) -> float:
        """The largest share of healthy rows that come near to not following, in any stretch of so many rows: where
        they come together, the world bends the relation for a while. Asked after `odd`."""
        strays = self.strays[target]
        size = min(size, len(strays))
        return float(np.convolve(strays, np.ones(size), "valid").max() / size)


def incoherent(scene: Scene, broken: set[str]) -> list[Break]:
    """Columns swapped in some rows, or that no longer belong to their rows; at most one break. Columns that are known
    to be `broken` are left out."""
    names = [f for f in scene.spec.used_features if scene.spec.features[f].type is FeatureType.NUMERIC]
    names = [
        f for f in names if f not in broken and scene.healthy[f].std() > 0 and scene.healthy[f].notna().mean() > 0.8
    ][:MOST_COLUMNS]
    if len(names) < 2:
        return []
    healthy = scene.healthy[names].dropna().to_numpy(np.float64)
    table = scene.current[names].to_numpy(np.float64)
    seen = np.isfinite(table).all(axis=1)
    if len(healthy) < 2 * MIN_HEALTHY or seen.sum() < MIN_CURRENT:
        return []
    half = len(healthy) // 2
    follows = _Follows(names, healthy[:half], healthy[half:])
    rows = table[seen]
    found = _swapped(follows, rows)
    if found is not None:
        a, b, inside, certain = found
        repair, kind = Repair((names[a], names[b]), swap=True), BreakKind.SWAPPED
        what = f"{names[a]!r} and {names[b]!r} go with the other columns only when they are swapped"
        features: tuple[str, ...] = (names[a], names[b])
    else:
        odd = {j: m for j in range(len(names)) if (m := follows.odd(j, rows)) is not None}
        strange = {j: m for j, m in odd.items() if m.sum() >= 20 and m[onset_row(m) :].mean() > SHARE}
        culprit = _culprit(follows, rows, strange)
        if culprit is None or distance(rows[:, culprit], healthy[:, culprit]) > 0.1 + 1.63 * np.sqrt(1 / len(rows)):
            return []
        inside, features, repair, kind = strange[culprit], (names[culprit],), None, BreakKind.DECOUPLED
        since = inside[onset_row(inside) :]
        certain = float(since.mean()) > max(0.3, 3 * follows.oddest(culprit, len(since)))
        what = f"{names[culprit]!r} no longer goes with the other columns, as it always did"
    mask = np.zeros(len(table), dtype=bool)
    mask[seen] = inside
    return [scene.make(kind, features, mask, repair, certain, what, float(inside.sum()))]


def _swapped(follows: _Follows, rows: Floats) -> tuple[int, int, Mask, bool] | None:
    """The pair of columns, the rows in which they are exchanged by the joint (normal) density of all columns, and
    whether that is certain; healthy rows show how often such a density errs."""
    inverse = np.linalg.pinv(np.cov(follows.first.clip(-REACH, REACH), rowvar=False))

    def strangeness(part: Floats) -> Floats:
        scaled = follows.scaled(part).clip(-REACH, REACH)
        return np.asarray(((scaled @ inverse) * scaled).sum(axis=1), dtype=np.float64)

    def turned(part: Floats, a: int, b: int) -> Floats:
        out = part.copy()
        out[:, [a, b]] = part[:, [b, a]]
        return out

    def ratio(part: Floats, a: int, b: int) -> Floats:
        return np.asarray(np.clip((strangeness(part) - strangeness(turned(part, a, b))) / 2, -8, 8), dtype=np.float64)

    as_ever = float(np.median(strangeness(follows.raw)))

    best: tuple[int, int, Mask, bool] | None = None
    most = 0.0
    tied = [j for j in range(len(follows.names)) if follows.odd(j, rows) is not None]
    for a, b in combinations(tied, 2):
        share, gain, mine = mixture(ratio(rows, a, b)[None, :])
        if gain[0] <= max(LEAST_GAIN, most) or share[0] < SHARE:
            continue
        usual = max(
            mixture(ratio(part, a, b)[None, :])[1][0] * len(rows) / len(part)
            for part in _stretches(follows.raw, len(rows))
        )
        if gain[0] < 3 * usual:
            continue
        inside = mine[0] > 0.5
        start = onset_row(inside)
        if inside[start:].mean() > 0.6:
            inside[start:] = True
        if float(np.median(strangeness(turned(rows[inside], a, b)))) > 1.4 * as_ever:
            continue  # something is wrong with these rows, and an exchange does not put it right
        most, best = float(gain[0]), (a, b, inside, bool(gain[0] > 2 * LEAST_GAIN and gain[0] > 10 * usual))
    return best


def _stretches(healthy: Floats, size: int) -> list[Floats]:
    """The healthy rows whole, and in stretches about as long as the window: seasons and weather bend a relation for a
    while, and that is no exchange."""
    pieces = len(healthy) // max(size, MIN_CURRENT)
    return [healthy, *(np.array_split(healthy, pieces) if pieces > 1 else [])]


def _culprit(follows: _Follows, rows: Floats, strange: dict[int, Mask]) -> int | None:
    """The column without which the others go together again; None where there is none."""
    for j in sorted(strange, key=lambda j: -int(strange[j].sum())):
        rest = [follows.odd(k, rows, without=j) for k in strange if k != j]
        if all(m is None or m[onset_row(m) :].mean() < SHARE / 2 for m in rest):
            return j
    return None
