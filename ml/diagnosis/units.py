"""Numbers that are right in another form: a wrong unit, a turned sign, two columns swapped. All can be undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ml.diagnosis.density import Density, Steps, distance, mixture
from ml.diagnosis.grid import grid, on_grid
from ml.diagnosis.repair import Break, BreakKind, Repair
from ml.diagnosis.scene import MIN_ROWS, Scene, values_of

Floats = npt.NDArray[np.float64]

_FACTORS = (
    10, 100, 1000, 1e4, 1e6, 38.67, 18.0182, 88.42, 2.54, 30.48, 2.20462, 28.3495, 1.609344, 3.28084, 3.6, 60, 3600, 12,
    24, 7.50062, 6.89476, 4.184, 365.25,
)  # fmt: skip

SLACK = 0.05

_AFFINE = ((1.8, 32.0), (1.0, 273.15), (-1.0, 0.0), (-1.0, 1.0))


def repairs(feature: str) -> list[Repair]:
    """The known changes of unit, each as the repair that undoes it."""
    found = [Repair((feature,), factor=f) for k in _FACTORS for f in (float(k), 1.0 / float(k))]
    for a, b in _AFFINE:
        found.append(Repair((feature,), factor=1 / a, offset=-b / a))
        if (a, b) not in ((-1.0, 0.0), (-1.0, 1.0)):
            found.append(Repair((feature,), factor=a, offset=b))
    return found


def suspicious(ref: Floats, cur: Floats) -> bool:
    noise = np.sqrt(1 / len(ref) + 1 / len(cur))
    if distance(ref, cur) > 1.6 * noise:
        return True
    low, high = ref.min(), ref.max()
    return float(((cur < low) | (cur > high)).mean()) > 0.02


def units(scene: Scene, name: str) -> list[Break]:
    ref = values_of(scene.healthy[name])
    column = scene.current[name].to_numpy(np.float64)
    seen = np.isfinite(column)
    cur = column[seen]
    density = Steps(ref) if Steps.fits(ref) else Density(ref)
    plain = density.log(cur)
    options = repairs(name)
    ratio = np.stack([_ratio(density, plain, cur, r) for r in options])
    share, gain, mine = mixture(ratio)
    order = list(np.argsort(-(gain - 0.02 * np.arange(len(gain)))))  # of two that fit alike, the more common unit
    good = [at for at in order if gain[at] > 0.5 * gain[order[0]]]
    astray = _off_grid(ref, cur)
    exact = [at for at in good if astray.any() and _returns_to_grid(ref, cur[astray], options[at])]
    for at in [*exact, *order[:3]]:
        if gain[at] < 15 or share[at] * len(cur) < 8:
            continue
        repair = options[at]
        hit = mine[at] > 0.5
        if at in exact:
            hit |= astray
        if hit.sum() < 8:
            continue
        mask = np.zeros(len(column), dtype=bool)
        mask[seen] = hit
        start, segment = scene.place(mask, name)
        scope = np.arange(len(column)) >= start
        base = ref
        if segment is not None:
            scope &= (scene.current[segment[0]].astype(str) == segment[1]).to_numpy()
            same = values_of(scene.healthy.loc[(scene.healthy[segment[0]].astype(str) == segment[1]).to_numpy(), name])
            base = same if len(same) >= MIN_ROWS else ref
        if hit[: start or None].mean() > 0.9 and segment is None and start == 0:
            mask[seen] = True
        elif float(mask[scope & seen].mean()) > (0.7 if at in exact else 0.85):
            # a value that reads the same either way (0) or in the overlap of both units: the break takes whole segments
            mask |= scope & seen
        repaired = np.where(mask, repair.factor * column + repair.offset, column)
        inside = scope & np.isfinite(column)
        noise = np.sqrt(1 / max(inside.sum(), 1) + 1 / len(base))
        after, before = distance(repaired[inside], base), distance(column[inside], base)
        if after > 0.12 + 1.36 * noise or after > 0.6 * before:
            continue
        telling = ratio[at][hit & (ratio[at] != 0)]
        sure = len(telling) > 0 and float(np.median(telling)) > 3
        far = not (0.25 < abs(repair.factor) < 4) or abs(repair.offset) > 100
        what = f"{name!r} fits the past only after: {repair.describe()}"
        beyond = float(np.mean((column[mask] < ref.min()) | (column[mask] > ref.max())))
        apart = beyond > 0.5 and before > 0.8 and after <= 0.05 + 1.36 * noise
        certain = (sure and (far or apart)) or at in exact
        found = scene.make(BreakKind.UNIT, (name,), mask, repair, certain, what, float(gain[at]))
        return [replace(found, plain=at in exact or (certain and far and beyond > 0.8))]
    return []


def _off_grid(ref: Floats, cur: Floats) -> npt.NDArray[np.bool_]:
    """The values that have left the grid on which the healthy ones lie; none where there is no grid, or few did."""
    step = grid(ref)
    off = np.zeros(len(cur), dtype=bool) if step is None else ~on_grid(cur, step, SLACK)
    return off if off.sum() >= max(MIN_ROWS, 0.05 * len(cur)) else np.zeros(len(cur), dtype=bool)


def _returns_to_grid(ref: Floats, astray: Floats, repair: Repair) -> bool:
    """Whether repaired values are back on the grid (to a twentieth of a step: whoever converted them may have rounded
    the factor)."""
    step = grid(ref)
    return step is not None and bool(on_grid(repair.factor * astray + repair.offset, step, SLACK).mean() > 0.95)


def _ratio(density: Density | Steps, plain: Floats, values: Floats, repair: Repair) -> Floats:
    """Log likelihood ratio of broken to healthy; nothing is learnt from a value that reads the same either way (0)."""
    undone = repair.factor * values + repair.offset
    stretch = 0.0 if isinstance(density, Steps) else np.log(abs(repair.factor))
    ratio = density.log(undone) + stretch - plain
    return np.where(density.same(undone, values), 0.0, ratio)


def swapped(scene: Scene, drifting: list[str]) -> list[Break]:
    used = [f for f in drifting if scene.spec.features[f].used][:8]
    dense = {f: Density(values_of(scene.healthy[f])) for f in used}
    found = []
    for i, a in enumerate(used):
        for b in used[i + 1 :]:
            x, y = scene.current[a].to_numpy(np.float64), scene.current[b].to_numpy(np.float64)
            seen = np.isfinite(x) & np.isfinite(y)
            if seen.sum() < MIN_ROWS:
                continue
            ratio = dense[a].log(y[seen]) + dense[b].log(x[seen]) - dense[a].log(x[seen]) - dense[b].log(y[seen])
            _, gain, mine = mixture(ratio[None, :])
            if gain[0] < 15 or (mine[0] > 0.5).sum() < 8:
                continue
            mask = np.zeros(len(x), dtype=bool)
            mask[seen] = mine[0] > 0.5
            start, segment = scene.place(mask, a)
            scope = np.arange(len(x)) >= start
            if segment is not None:
                scope &= (scene.current[segment[0]].astype(str) == segment[1]).to_numpy()
            if mask[scope & seen].mean() > 0.6:
                mask |= scope & seen
            ref_a, ref_b = values_of(scene.healthy[a]), values_of(scene.healthy[b])
            inside = scope & seen
            noise = 1.36 * np.sqrt(1 / max(inside.sum(), 1) + 1 / len(ref_a))
            after = max(distance(np.where(mask, y, x)[inside], ref_a), distance(np.where(mask, x, y)[inside], ref_b))
            before = max(distance(x[inside], ref_a), distance(y[inside], ref_b))
            if after > 0.12 + noise or after > 0.6 * before:
                continue
            what = f"{a!r} and {b!r} look swapped"
            clear = float(np.median(ratio[mine[0] > 0.5]))
            sure = after < 0.5 * before and clear > (3 if mask[inside].mean() > 0.6 else 5)
            found.append(
                scene.make(
                    BreakKind.SWAPPED,
                    (a, b),
                    mask,
                    Repair((a, b), swap=True),
                    sure,
                    what,
                    float(gain[0]),
                )
            )
    return found
