"""Breaks that leave each column as it was: two alike columns swapped, a turned sign, a column some rows late, a clock
in another time zone, codes assigned anew. No distribution shows them; the labels do, when the model answers again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.repair import Repair
from ml.diagnosis.scene import values_of
from ml.diagnosis.trial import answer, skill_of
from ml.metrics import probability, row_loss
from ml.models.predictor import Predictor
from ml.spec import FeatureType, ModelSpec

Floats = npt.NDArray[np.float64]
MOST_COLUMNS = 12
LAGS = (1, 2, 3, 6, 12, 24)
CYCLES = (7, 12, 24)
BACK, BETTER = 0.6, 0.03
"""Share of the harm that must come back, and by how much better the answers must follow the labels: other shares of the
classes make any repair look good that moves the scores their way."""


def candidates(spec: ModelSpec, healthy: pd.DataFrame, frame: pd.DataFrame) -> Iterator[Repair]:
    """The repairs worth a try, those of the most common faults first."""
    numeric = [f for f in spec.used_features if spec.features[f].type is FeatureType.NUMERIC and frame[f].nunique() > 2]
    numeric = numeric[:MOST_COLUMNS]
    yield from (Repair((a, b), swap=True) for a, b in combinations(numeric, 2))
    yield from (Repair((f,), factor=k) for f in numeric for k in (-1.0, 10.0, 100.0, 0.1, 0.01))
    for name in numeric:
        cycle = _cycle(values_of(healthy[name]))
        if cycle:
            base = int(values_of(healthy[name]).min())
            yield from (Repair((name,), offset=float(k), cycle=cycle, base=base) for k in range(1, cycle))
    for name in spec.used_features:
        if spec.features[name].type is not FeatureType.CATEGORICAL:
            continue
        levels = healthy[name].dropna().value_counts().index[:6]
        yield from (Repair((name,), mapping={str(a): str(b), str(b): str(a)}) for a, b in combinations(levels, 2))
    others = [f for f in spec.used_features if spec.features[f].type is not FeatureType.NUMERIC][:MOST_COLUMNS]
    yield from (Repair((f,), lag=k) for f in [*numeric, *others] for k in LAGS)


def _cycle(values: Floats) -> int:
    """The length of the cycle that whole numbers fill: hours of a day, months, days of a week; 0 where they do not.

    >>> _cycle(np.arange(480.0) % 24)
    24
    """
    levels = np.unique(values)
    if len(levels) not in CYCLES or (levels % 1 != 0).any() or levels[0] not in (0.0, 1.0):
        return 0
    return len(levels) if levels[-1] - levels[0] == len(levels) - 1 else 0


def search_by_replay(
    spec: ModelSpec,
    model: Predictor,
    healthy: pd.DataFrame,
    frame: pd.DataFrame,
    loss: Floats,
    harm: float,
    tolerance: float,
) -> tuple[Repair, float, float, float] | None:
    """The one repair that brings back most of the harm when the model answers again, with its gain and interval.

    60 % of the harm must come back, at odds that allow for the number of repairs tried, the answers must rank better,
    and the repaired values must lie where the `healthy` ones do. A changed relation does not do that. All repairs are
    tried on 600 rows, the promising ones on 3,000. frame: rows in order of time.
    """
    span = {
        f: (v.min(), v.max()) for f in spec.used_features if _is_numeric(spec, f) and len(v := values_of(healthy[f]))
    }
    scored = probability(spec, frame) is not None

    def replayed(repair: Repair, most: int) -> tuple[Floats, float] | None:
        few = np.linspace(0, len(frame) - 1, min(len(frame), most)).astype(int)
        undone = repair.apply(frame, np.ones(len(frame), dtype=bool)).iloc[few]
        for name in repair.features:
            if not _is_numeric(spec, name):
                continue
            if name not in span or undone[name].dropna().between(*span[name]).mean() <= 0.95:
                return None
        again = answer(spec, model, undone, scored)
        after = row_loss(
            spec, undone.assign(prediction=again["prediction"].to_numpy(), score=again["score"].to_numpy())
        )
        return np.asarray(loss[few] - after, dtype=np.float64), skill_of(spec, undone["label"], again)[0]

    served = skill_of(spec, frame["label"], frame)[0]
    best: tuple[Repair, float, float, float] | None = None
    for repair in candidates(spec, healthy, frame):
        first = replayed(repair, 600)
        if first is None or first[0].mean() < 0.5 * harm:
            continue
        full = replayed(repair, 3000)
        if full is None or full[1] < served + BETTER:
            continue
        every = full[0]
        gain, error = float(every.mean()), 3.5 * float(every.std()) / np.sqrt(len(every))
        if gain - error > tolerance / 2 and gain > BACK * harm and (best is None or gain > best[1]):
            best = repair, gain, gain - error, gain + error
    return best


def _is_numeric(spec: ModelSpec, name: str) -> bool:
    return spec.features[name].type is FeatureType.NUMERIC
