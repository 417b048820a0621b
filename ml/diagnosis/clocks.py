"""Times that arrive broken: in another zone, as seconds read for milliseconds, from a clock that stands still or runs
ahead. A time is looked at by its age at the row's own timestamp."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.data.bins import as_numbers
from ml.diagnosis.density import Density, distance, mixture
from ml.diagnosis.repair import Break, BreakKind, Repair
from ml.diagnosis.scene import MIN_ROWS, Scene
from ml.diagnosis.texts import rise
from ml.metrics import Floats
from ml.spec import FeatureType

UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
OFFSETS = tuple(sign * 1800.0 * k for k in range(1, 29) for sign in (1, -1))  # half hours up to 14


def clocks(scene: Scene, name: str) -> Iterator[Break]:
    """Breaks of a datetime column: an epoch unit, then a zone, then a still clock, then the future."""
    if scene.current["timestamp"].isna().any() or scene.healthy["timestamp"].isna().any():
        return
    ref, cur = (as_numbers(f[name], FeatureType.DATETIME, f) for f in (scene.healthy, scene.current))
    known = ref[np.isfinite(ref)]
    if len(known) < MIN_ROWS or np.isfinite(cur).sum() < MIN_ROWS:
        return
    found = [*_epoch(scene, name, known, cur), *_zone(scene, name, known, cur), *_still(scene, name)]
    yield from found
    if not found:
        yield from _ahead(scene, name, ref, cur)


def _epoch(scene: Scene, name: str, known: Floats, cur: Floats) -> Iterator[Break]:
    """Read as a multiple of its unit: seconds taken for milliseconds lie in January 1970."""
    now = scene.current["timestamp"].astype("datetime64[us, UTC]").astype(np.int64).to_numpy() / 1e6
    reach = max(float(known.max() - known.min()), 86_400.0)
    low, high = known.min() - reach, known.max() + reach
    strange = np.isfinite(cur) & ((cur < low) | (cur > high))
    if strange.sum() < 8:
        return
    for unit, word in UNITS.items():
        for factor, what in ((unit, f"seconds read as {word}"), (1 / unit, f"{word} read as seconds")):
            age = now - (now - cur) * factor
            hit = strange & (age >= low) & (age <= high)
            if hit.sum() >= 8 and hit.sum() > 0.5 * strange.sum():
                text = f"{name!r} is {what}"
                repair = Repair((name,), factor=factor, clock=True)
                yield scene.make(BreakKind.CLOCK, (name,), hit, repair, True, text, float(hit.sum()))
                return


def _zone(scene: Scene, name: str, known: Floats, cur: Floats) -> Iterator[Break]:
    """Off by whole half hours, where ages are short enough to show it."""
    seen = np.isfinite(cur)
    noise = np.sqrt(1 / len(known) + 1 / seen.sum())
    if distance(known, cur[seen]) < 1.6 * noise:
        return
    density = Density(known)
    plain = density.log(cur[seen])
    ratio = np.stack([density.log(cur[seen] - offset) - plain for offset in OFFSETS])
    share, gain, mine = mixture(ratio)
    best = int(np.argmax(gain - 0.02 * np.arange(len(gain))))
    hit = mine[best] > 0.5
    if gain[best] < 15 or share[best] * len(cur) < 8 or hit.sum() < 8:
        return
    mask = np.zeros(len(cur), dtype=bool)
    mask[seen] = hit
    start, _ = scene.place(mask, name)
    later = np.arange(len(cur)) >= start
    if mask[later & seen].mean() > 0.85:
        mask |= later & seen
    inside = later & seen
    before, after = distance(cur[inside], known), distance((cur - OFFSETS[best] * mask)[inside], known)
    if after > 0.12 + 1.36 * np.sqrt(1 / inside.sum() + 1 / len(known)) or after > 0.6 * before:
        return
    hours = OFFSETS[best] / 3600
    repair = Repair((name,), offset=OFFSETS[best], clock=True)  # an age too great by the offset: the time is too early
    sure = float(np.median(ratio[best][hit])) > 3
    what = f"{name!r} is {abs(hours):g} hours too {'early' if hours > 0 else 'late'}"
    yield scene.make(BreakKind.CLOCK, (name,), mask, repair, sure, what, float(gain[best]))


def _still(scene: Scene, name: str) -> Iterator[Break]:
    """One exact moment again and again."""
    cur = scene.current[name]
    counts = cur.value_counts()
    if counts.empty or scene.healthy[name].nunique() < 10:
        return
    value = counts.index[0]
    usual = scene.healthy[name].value_counts(normalize=True)
    before = np.asarray(scene.healthy[name] == usual.index[0], dtype=bool)
    now = np.asarray(cur == value, dtype=bool)
    found = rise(scene, name, before, now & scene.known)
    if now.sum() >= 8 and found.excess > 0.1 and found.z > 6:
        what = f"{name!r} stands still at {value:%Y-%m-%d %H:%M} UTC ({found.expected:.1%} at one moment before)"
        yield scene.make(BreakKind.STALE, (name,), now, None, found.excess > 0.3, what, found.z)


def _ahead(scene: Scene, name: str, ref: Floats, cur: Floats) -> Iterator[Break]:
    """Times later than the row itself, where that was rare."""
    with np.errstate(invalid="ignore"):
        before, now = np.asarray(ref < -1, dtype=bool), np.asarray(cur < -1, dtype=bool)
    found = rise(scene, name, before, now & scene.known)
    if now.sum() >= 8 and found.excess > scene.spec.monitors.quality.max_out_of_range and found.z > 5:
        what = f"{name!r} lies in the future of its row ({found.expected:.1%} before)"
        yield scene.make(BreakKind.CLOCK, (name,), now, None, found.expected < 0.01, what, found.z)
