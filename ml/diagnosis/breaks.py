"""Data breaks: each has a fingerprint, and most have a repair that can be tried.

A break is looked for row by row (a mixture of healthy and broken rows), so that it is found when it hits only one
segment, only part of the rows, or begins in the middle of the window. What a shift of mix between known segments
explains is no break.
"""

from __future__ import annotations

import pandas as pd

from ml.diagnosis.categories import categories
from ml.diagnosis.clocks import clocks
from ml.diagnosis.coherence import incoherent
from ml.diagnosis.lost import nulls, spikes, stale, vanished_column
from ml.diagnosis.repair import Break, BreakKind
from ml.diagnosis.rescaled import rescaled
from ml.diagnosis.scene import MIN_ROWS, Scene, values_of
from ml.diagnosis.texts import texts
from ml.diagnosis.units import suspicious, swapped, units
from ml.spec import FeatureType, ModelSpec


def find_breaks(
    spec: ModelSpec, healthy: pd.DataFrame, current: pd.DataFrame, odd: dict[str, float], vanished: tuple[str, ...]
) -> list[Break]:
    """Suspected breaks of the current rows against the healthy ones, strongest first, at most one per feature."""
    if len(healthy) < MIN_ROWS or len(current) < MIN_ROWS:
        return []
    scene = Scene(spec, healthy, current)
    found: list[Break] = [vanished_column(scene, name) for name in vanished]
    drifting: list[str] = []
    for name, feature in spec.features.items():
        if name in vanished or healthy[name].notna().sum() < MIN_ROWS:
            continue
        candidates: list[Break] = list(nulls(scene, name, odd.get(name, 0.0)))
        if feature.type is FeatureType.NUMERIC:
            ref, cur = values_of(healthy[name]), values_of(current[name])
            if len(cur) >= MIN_ROWS:
                candidates += stale(scene, name) or list(spikes(scene, name))
                if suspicious(ref, cur):
                    drifting.append(name)
                    candidates += units(scene, name)
                    if not any(c.certain for c in candidates):
                        candidates += rescaled(scene, name)
        elif feature.type in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            candidates += categories(scene, name)
        elif feature.type is FeatureType.TEXT:
            candidates += texts(scene, name)
        else:
            candidates += clocks(scene, name)
        if candidates:
            found.append(max(candidates, key=lambda b: (b.certain, b.strength)))
    found += swapped(scene, drifting)
    found += incoherent(scene, {f for b in found if b.certain for f in b.features})
    return _one_per_feature(found)


def _one_per_feature(found: list[Break]) -> list[Break]:
    taken: set[str] = set()
    out = []
    order = {BreakKind.SCHEMA: 0, BreakKind.SWAPPED: 1}
    for item in sorted(found, key=lambda b: (not b.certain, order.get(b.kind, 2), -b.strength)):
        if taken & set(item.features):
            continue
        taken |= set(item.features)
        out.append(item)
    return out
