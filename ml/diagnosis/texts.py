"""Texts that arrive broken: empty, cut off, read in the wrong encoding, or in words never seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ml.data.bins import words
from ml.diagnosis.repair import Break, BreakKind, Mask, Repair
from ml.diagnosis.scene import MIN_ROWS, Scene, onset_row
from ml.diagnosis.undo import ungarbled

ENCODINGS = ("cp1252", "latin-1")
LOST = "\ufffd"
FOREIGN = 0.5  # share of a text's words that were never seen
CERTAIN, LEAST = 0.9, 0.05


@dataclass(frozen=True, slots=True)
class Rise:
    """How much more often something is than before; `z` in standard errors."""

    share: float
    expected: float
    z: float

    @property
    def excess(self) -> float:
        return (self.share - self.expected) / max(1 - self.expected, 1e-9)


def rise(scene: Scene, name: str, before: Mask, now: Mask) -> Rise:
    """From the row where `now` becomes more frequent, against what healthy windows and their segments had."""
    start = onset_row(now)
    n = len(now) - start
    expected = max(scene.expected(before, name), scene.largest_before(before, n))
    share = float(now[start:].mean()) if n else 0.0
    z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / max(n, 1)) / max(n, 1))
    return Rise(share, expected, float(z))


def texts(scene: Scene, name: str) -> Iterator[Break]:
    """Breaks of a text column, the surest of each kind."""
    ref, cur = scene.healthy[name], scene.current[name]
    if ref.notna().sum() < MIN_ROWS or cur.notna().sum() < MIN_ROWS:
        return
    yield from _empty(scene, name)
    yield from _garbled(scene, name)
    yield from _cut(scene, name)
    yield from _other_words(scene, name)


def _empty(scene: Scene, name: str) -> Iterator[Break]:
    before, now = (_each(f[name], lambda text: not text.strip()) for f in (scene.healthy, scene.current))
    found = rise(scene, name, before, now & scene.known)
    if found.excess > scene.spec.monitors.quality.max_null_rise and found.z > 5:
        certain = found.excess > 0.4 or (found.excess > 0.1 and found.expected < 0.05)
        what = f"{name!r} is an empty text ({found.expected:.1%} expected)"
        yield scene.make(BreakKind.EMPTY, (name,), now, None, certain, what, found.z)


def _garbled(scene: Scene, name: str) -> Iterator[Break]:
    """UTF-8 read as an older encoding ("KÃ¤se"), which can be undone; or replaced by question marks, which cannot."""
    for encoding in ENCODINGS:
        before, now = (_each(f[name], partial(_is_garbled, encoding)) for f in (scene.healthy, scene.current))
        found = rise(scene, name, before, now & scene.known)
        if now.sum() >= 8 and found.excess > 0.02 and found.z > 5:
            what = f"{name!r} is UTF-8 read as {encoding} ({found.expected:.1%} before)"
            yield scene.make(
                BreakKind.ENCODING, (name,), now, Repair((name,), decode=encoding), found.expected < 0.01, what, found.z
            )
            return
    before, now = (_each(f[name], lambda text: LOST in text) for f in (scene.healthy, scene.current))
    found = rise(scene, name, before, now & scene.known)
    if now.sum() >= 8 and found.excess > 0.02 and found.z > 5:
        what = f"{name!r} has characters that could not be read ({found.expected:.1%} before)"
        yield scene.make(BreakKind.ENCODING, (name,), now, None, found.expected < 0.01, what, found.z)


def _is_garbled(encoding: str, text: str) -> bool:
    return ungarbled(text, encoding) != text


def _cut(scene: Scene, name: str) -> Iterator[Break]:
    """Nothing is longer than some length, as many end exactly there as were that long or longer before."""
    ref, cur = (f[name].map(len, na_action="ignore").to_numpy(np.float64) for f in (scene.healthy, scene.current))
    lengths, counts = np.unique(cur[np.isfinite(cur)], return_counts=True)
    usual = np.array([float((ref == length).mean()) for length in lengths])
    length = lengths[int(np.argmax(counts / len(cur) - usual))]
    now, long = cur == length, ref >= length
    after = cur[onset_row(now) :]
    if now.sum() < 8 or np.nanmax(ref) <= length or length < 2 or (after > length).mean() > 0.02:
        return
    found = rise(scene, name, np.asarray(ref == length), now & scene.known)
    share = float(long.mean())
    if found.excess > LEAST and found.z > 6 and abs(found.share - share) < 0.15 + 0.2 * share:
        sure = share > 0.1 and found.expected < 0.05
        what = f"{name!r} is cut off at {length:.0f} characters ({share:.0%} were that long or longer)"
        yield scene.make(BreakKind.TRUNCATED, (name,), now, None, sure, what, found.z)


def _other_words(scene: Scene, name: str) -> Iterator[Break]:
    """Another language, or another vocabulary: most words of many texts were never seen. It may be real."""
    half = len(scene.healthy) // 2
    vocabulary = {word for text in scene.healthy[name].iloc[:half].dropna() for word in words(text)}
    if len(vocabulary) < 10:
        return

    def foreign(text: str) -> bool:
        found = words(text)
        return bool(found) and sum(word not in vocabulary for word in found) > FOREIGN * len(found)

    before, now = _each(scene.healthy[name].iloc[half:], foreign), _each(scene.current[name], foreign)
    start = onset_row(now)
    n, usual = len(now) - start, float(before.mean())
    share = float(now[start:].mean()) if n else 0.0
    z = (share - usual) / np.sqrt(max(usual * (1 - usual), 1 / max(n, 1)) / max(n, 1))
    if share - usual > 0.3 and z > 6:
        what = f"{name!r} uses words never seen ({usual:.0%} of texts did before)"
        yield scene.make(BreakKind.VOCABULARY, (name,), now, None, False, what, float(z))


def _each(column: pd.Series, test: Callable[[str], bool]) -> Mask:
    """Where a text passes; a missing one does not."""
    return np.array([isinstance(text, str) and test(text) for text in column], dtype=bool)
