"""The grid that a column's values lie on: whole numbers, halves, two decimals. A wrong unit leaves it, its repair
returns to it, and no change of the world does either."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_STEPS = tuple(m * 10.0**k for k in range(3, -7, -1) for m in (5.0, 2.0, 1.0))
_ALL = 0.995


def grid(values: Floats) -> float | None:
    """The widest step of which (nearly) all values are multiples; None where there is none to speak of.

    values: finite. A step is one only where the values take at least five multiples of it.

    >>> grid(np.array([54.0, 61.0, 48.0, 70.0, 66.0] * 10))
    1.0
    >>> grid(np.random.default_rng(0).normal(size=100)) is None
    True
    """
    if len(values) < 20:
        return None
    for step in _STEPS:
        if float(on_grid(values, step).mean()) >= _ALL:
            return step if len(np.unique(np.round(values / step))) >= 5 else None
    return None


def on_grid(values: Floats, step: float, slack: float = 0.0) -> npt.NDArray[np.bool_]:
    """Which values are multiples of the step, to `slack` steps (0: rounding aside)."""
    ratio = values / step
    near: npt.NDArray[np.bool_] = np.abs(ratio - np.round(ratio)) <= np.maximum(
        slack, np.minimum(1e-7 * np.maximum(np.abs(ratio), 1.0), 0.02)
    )
    return near
