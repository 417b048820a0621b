"""Values that are lost: a missing column, nulls, a sentinel or default, a column that repeats old values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ml.diagnosis.density import distance
from ml.diagnosis.repair import Break, BreakKind, Mask
from ml.diagnosis.scene import MIN_ROWS, Scene, onset_row, values_of

Floats = npt.NDArray[np.float64]


def vanished_column(scene: Scene, name: str) -> Break:
    mask = np.ones(len(scene.current), dtype=bool)
    return scene.make(BreakKind.SCHEMA, (name,), mask, None, True, f"the column {name!r} is missing", 1e6)


def nulls(scene: Scene, name: str, odd: float) -> Iterator[Break]:
    rule = scene.spec.monitors.quality
    before = scene.healthy[name].isna().to_numpy()
    now = scene.current[name].isna().to_numpy() & scene.known
    start = onset_row(now)
    share = float(now[start:].mean())
    expected = max(scene.expected(before, name), scene.largest_before(before, len(now) - start))
    excess = (share - expected) / max(1 - expected, 1e-9)
    n = len(now) - start
    z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n) if n else 0.0
    if excess > rule.max_null_rise and z > 5:
        certain = excess > 0.1 and z > 6
        what = (
            f"{name!r} is missing ({expected:.1%} expected)" if odd < 0.01 else f"{name!r} holds values of another type"
        )
        yield scene.make(
            BreakKind.NULLS if odd < 0.01 else BreakKind.SCHEMA, (name,), now, None, certain, what, float(z)
        )


def spikes(scene: Scene, name: str) -> Iterator[Break]:
    """One exact value far more frequent than before: a sentinel (new, or outside the range) or a default."""
    ref, cur = values_of(scene.healthy[name]), scene.current[name].to_numpy(np.float64)
    level, count = np.unique(cur[np.isfinite(cur)], return_counts=True)
    series = scene.healthy[name].to_numpy(np.float64)
    again = np.unique(ref, return_counts=True)[1] / len(ref)
    sticky = float((series[1:] == series[:-1]).mean() - (again**2).sum()) > 0.1
    room = (float(ref.max()) - float(ref.min())) / 2
    for value in level[np.argsort(-count)[:3]]:
        now = (cur == value) & scene.known
        start = onset_row(now)
        before = (scene.healthy[name] == value).to_numpy()
        n = len(now) - start
        share = float(now[start:].mean())
        outside = bool(value < ref.min() or value > ref.max())
        expected = max(scene.expected(before, name), scene.largest_before(before, n))
        absurd = bool(value < ref.min() - room or value > ref.max() + room)
        if not outside or (sticky and not absurd):
            natural = scene.usual_run(scene.healthy[name].to_numpy(np.float64), n)
            expected = max(expected, min(float(before.mean()) + natural, 1.0))
        excess = (share - expected) / max(1 - expected, 1e-9)
        z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n)
        if excess < 0.05 or z < 6 or now.sum() < 8:
            continue
        new = not before.any()
        if not new and len(np.unique(ref)) < 30 and not outside and (excess < 0.2 or len(np.unique(ref)) < 20):
            continue  # of few values, one becomes more common by nature
        rest = cur[start:][~now[start:]]
        rest = rest[np.isfinite(rest)]
        if not outside and (limit := _stops_at(ref, rest, value, share)):
            what = f"{name!r} stops at {value:g}: nothing lies {limit} it any more"
            yield scene.make(BreakKind.CLIPPED, (name,), now, None, excess > 0.1, what, float(z))
            return
        base = ref[ref != value]
        if len(rest) >= MIN_ROWS and distance(rest, base) > 0.12 + 1.63 * np.sqrt(1 / len(rest) + 1 / len(base)):
            continue
        kind = BreakKind.SENTINEL if outside or expected < 0.01 else BreakKind.DEFAULT_FILL
        many = len(np.unique(ref)) >= 30
        certain = (
            (absurd or not sticky) and expected < 0.02
            if outside
            else many and not sticky and (expected < 0.02 or excess > 0.25)
        )
        yield scene.make(
            kind, (name,), now, None, certain, f"{name!r} is exactly {value:g} ({expected:.1%} expected)", float(z)
        )
        return


def _stops_at(ref: Floats, rest: Floats, value: float, share: float) -> str:
    """On which side values are cut off: there is nothing beyond `value`, which has taken their share, and the other
    values are as before. Empty where they are not."""
    for side, beyond, inside in (
        ("above", ref > value, rest <= value),
        ("below", ref < value, rest >= value),
    ):
        gone = float(beyond.mean())
        if gone < 0.03 or (len(rest) and not inside.all()):
            continue
        kept = ref[~beyond & (ref != value)]
        taken = float((ref == value).mean()) + gone
        if abs(taken - share) > 0.05 + 3 * np.sqrt(taken * (1 - taken) / max(len(rest) / max(1 - share, 0.02), 1)):
            continue
        noise = np.sqrt(1 / max(len(rest), 1) + 1 / max(len(kept), 1))
        if len(rest) < MIN_ROWS or distance(rest, kept) <= 0.12 + 1.63 * noise:
            return side
    return ""


def stale(scene: Scene, name: str) -> list[Break]:
    """The value of the row before, again and again."""

    def repeats(values: Floats) -> Mask:
        again = np.zeros(len(values), dtype=bool)
        again[1:] = values[1:] == values[:-1]
        return again

    def chance(values: Floats) -> float:
        _, count = np.unique(values[np.isfinite(values)], return_counts=True)
        return float(((count / max(count.sum(), 1)) ** 2).sum())

    ref, cur = scene.healthy[name].to_numpy(np.float64), scene.current[name].to_numpy(np.float64)
    if len(np.unique(values_of(scene.healthy[name]))) < 10:
        return []
    before, now = repeats(ref), repeats(cur)
    start = onset_row(now)
    share, n = float(now[start:].mean()), len(now) - start
    expected = max(scene.largest_before(before, n), chance(cur[start:]) if len(np.unique(cur[start:])) > 5 else 0.0)
    z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n)
    if share - expected < 0.2 or z < 6:
        return []
    what = f"{name!r} repeats the value of the row before ({expected:.1%} expected)"
    return [scene.make(BreakKind.STALE, (name,), now, None, share - expected > 0.4, what, float(z))]
