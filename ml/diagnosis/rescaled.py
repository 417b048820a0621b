"""Values on another scale altogether: standardised or min-max scaled twice or not at all, a logarithm, another column.

No known factor undoes it, but quartiles that map onto the healthy ones do, where the shape is the same. What is asked
for is more than any world does: nearly every value outside everything seen before or off the column's grid, and the
spread another by a factor of four.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ml.diagnosis.density import distance
from ml.diagnosis.grid import grid, on_grid
from ml.diagnosis.repair import Break, BreakKind, Repair
from ml.diagnosis.scene import MIN_ROWS, Scene, onset_row, values_of

Floats = npt.NDArray[np.float64]
FAR, ABSURD = 4.0, 20.0


def rescaled(scene: Scene, name: str) -> list[Break]:
    """The break of a numeric column whose values since some row are on another scale; empty where they are not."""
    ref = values_of(scene.healthy[name])
    column = scene.current[name].to_numpy(np.float64)
    seen = np.isfinite(column)
    strange = seen & ((column < ref.min()) | (column > ref.max()))
    beyond = strange.copy()
    step = grid(ref)
    if step is not None:
        strange |= seen & ~on_grid(np.where(seen, column, 0.0), step)
    start = onset_row(strange)
    scope = seen & (np.arange(len(column)) >= start)
    if scope.sum() < MIN_ROWS or strange[scope].mean() < 0.9 or len(np.unique(ref)) < 5:
        return []
    now = column[scope]
    (low, middle, high), (a, b, c) = np.percentile(ref, [25, 50, 75]), np.percentile(now, [25, 50, 75])
    spread, other = high - low, c - a
    if spread <= 0 or other <= 0:
        return []
    factor = float(spread / other)
    offset = float(middle - factor * b)
    away = abs(b - middle) / max(spread, other)
    absurd = float(beyond[scope].mean()) > 0.9 and (not 1 / ABSURD < factor < ABSURD or away > ABSURD)
    if 1 / FAR < factor < FAR and not absurd:
        return []
    noise = 1.36 * np.sqrt(1 / len(now) + 1 / len(ref))
    fits = distance(factor * now + offset, ref) <= 0.1 + noise
    if not fits and not absurd:
        return []
    repair = Repair((name,), factor=factor, offset=offset) if fits else None
    what = (
        f"{name!r} is on another scale (middle {b:.4g}, it was {middle:.4g}; spread {other:.3g}, it was {spread:.3g})"
    )
    kind = BreakKind.UNIT if fits else BreakKind.OUT_OF_RANGE
    found = scene.make(kind, (name,), scope, repair, True, what, float(scope.sum()))
    return [replace(found, plain=absurd)]
