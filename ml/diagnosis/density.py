"""A one-dimensional density that answers "how surprising is this value" for numbers on any scale.

Kernel estimate of u = asinh(x / s): near zero it is linear, far out logarithmic, so that a wrong unit is a shift. A
small broad part keeps values never seen finite. Values that make up 3 % of the rows and more (0, a default) are atoms,
smoothed hardly at all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_STEP = 0.02
_BROAD = 0.003
_SPAN = 40.0


class Density:
    """Fitted on the finite values of a healthy column (at least 20)."""

    def __init__(self, values: Floats) -> None:
        spread = (
            float(np.subtract(*np.percentile(values, [75, 25])))
            or float(values.std())
            or abs(float(values.mean()))
            or 1.0
        )
        self.scale = spread / 2
        level, count = np.unique(values, return_counts=True)
        atom = level[(count >= 5) & (count >= 0.03 * len(values))]
        loose = ~np.isin(values, atom)
        u = np.arcsinh(values / self.scale)
        self.low = float(u.min()) - 3
        cells = int((float(u.max()) + 3 - self.low) / _STEP) + 2
        where = np.clip(((u - self.low) / _STEP).round().astype(int), 0, cells - 1)
        smooth = np.zeros(cells)
        if loose.any():
            part = u[loose]
            width = float(np.subtract(*np.percentile(part, [75, 25]))) / 1.34
            bandwidth = max(0.9 * min(float(part.std()) or 1.0, width or 1.0) * len(part) ** -0.2, 2 * _STEP)
            smooth += _blur(np.bincount(where[loose], minlength=cells).astype(np.float64), bandwidth)
        if len(atom):
            smooth += _blur(np.bincount(where[~loose], minlength=cells).astype(np.float64), 2 * _STEP)
        self.table = smooth / (len(values) * _STEP)

    def log(self, values: Floats) -> Floats:
        """Log density of each value (not missing)."""
        u = np.arcsinh(values / self.scale)
        at = (u - self.low) / _STEP
        known = np.interp(at, np.arange(len(self.table)), self.table, left=0.0, right=0.0)
        density: Floats = np.log((1 - _BROAD) * known + _BROAD / _SPAN) - np.log(np.hypot(values, self.scale))
        return density

    def same(self, a: Floats, b: Floats) -> npt.NDArray[np.bool_]:
        """Where two values fall into one cell."""
        near: npt.NDArray[np.bool_] = np.abs(np.arcsinh(a / self.scale) - np.arcsinh(b / self.scale)) < 2 * _STEP
        return near


class Steps:
    """The share of each value of a column that has few (hours, counts): a value between them was never seen."""

    def __init__(self, values: Floats) -> None:
        self.levels, count = np.unique(values, return_counts=True)
        self.shares = count / len(values)

    @staticmethod
    def fits(values: Floats) -> bool:
        """Whether the column has few values, each of them often.

        >>> Steps.fits(np.arange(1000.0) % 24), Steps.fits(np.random.default_rng(0).normal(size=1000))
        (True, False)
        """
        return bool(len(np.unique(values)) <= min(60, len(values) / 20))

    def log(self, values: Floats) -> Floats:
        """Log probability of each value (not missing)."""
        after = np.clip(np.searchsorted(self.levels, values), 1, max(len(self.levels) - 1, 1))
        near = np.where(
            np.abs(values - self.levels[after - 1])
            <= np.abs(values - self.levels[np.minimum(after, len(self.levels) - 1)]),
            after - 1,
            np.minimum(after, len(self.levels) - 1),
        )
        known = self.same(values, self.levels[near])
        return np.asarray(np.log(np.where(known, (1 - _BROAD) * self.shares[near], _BROAD / 100)), dtype=np.float64)

    def same(self, a: Floats, b: Floats) -> npt.NDArray[np.bool_]:
        """Where two values are one, rounding aside."""
        return np.asarray(np.abs(a - b) <= 1e-3 * (np.abs(b) + 1e-3), dtype=bool)


def _blur(counts: Floats, bandwidth: float) -> Floats:
    reach = int(4 * bandwidth / _STEP) + 1
    x = np.arange(-reach, reach + 1) * _STEP
    kernel = np.exp(-0.5 * (x / bandwidth) ** 2)
    return (
        np.convolve(counts, kernel / kernel.sum(), mode="same")
        if len(counts) >= len(kernel)
        else np.convolve(counts, kernel / kernel.sum())[reach : reach + len(counts)]
    )


def mixture(ratio: Floats, rounds: int = 25) -> tuple[Floats, Floats, Floats]:
    """Share of rows that follow the alternative, by EM, for each row of log likelihood ratios `(alternatives, rows)`.

    Returns the shares, the gains in log likelihood over no such rows, and the responsibilities `(alternatives, rows)`.
    """
    odds = np.exp(np.clip(ratio, -30, 30))
    share = np.full(len(ratio), 0.3)
    for _ in range(rounds):
        mine = share[:, None] * odds
        share = (mine / (1 - share[:, None] + mine)).mean(axis=1)
    mine = share[:, None] * odds
    gain = np.log(1 - share[:, None] + mine).sum(axis=1)
    return share, gain, mine / (1 - share[:, None] + mine)


def distance(a: Floats, b: Floats) -> float:
    """Kolmogorov-Smirnov distance of two samples; 0 where either is empty."""
    if len(a) == 0 or len(b) == 0:
        return 0.0
    a, b = np.sort(a), np.sort(b)
    points = np.concatenate([a, b])
    return float(
        np.abs(np.searchsorted(a, points, "right") / len(a) - np.searchsorted(b, points, "right") / len(b)).max()
    )
