"""How the inputs of two frames compare: weights that make one look like the other, and where they do not meet.

Source: importance weighting by a probabilistic classifier (Bickel, Brückner, Scheffer 2009, JMLR 10).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.bins import as_numbers
from ml.errors import DataError
from ml.metrics import Floats
from ml.spec import FeatureType, ModelSpec

MOST_COLUMNS = 60
MOST_LEVELS = 20
MARGIN = 0.02
FOREIGN = 0.95


@dataclass(frozen=True, slots=True)
class Overlap:
    """weight: of each reference row, mean 1, so that they look like the current ones. effective: how many rows the
    weighted reference is worth. outside: share of the current rows that look like none of the reference: beyond its
    ranges, of a category never seen, or where a classifier finds hardly any reference row."""

    weight: Floats
    effective: float
    outside: float


class Inputs:
    """The used features as a matrix of numbers, fitted on reference rows: numbers centred and scaled (a missing one is
    the median, with a flag), one column for each of the 20 commonest levels, a text's length, a time's age.

    Beyond 60 columns only those are kept that moved most in `current`. Raises: DataError where no column varies.
    """

    def __init__(self, spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame) -> None:
        self.spec = spec
        self.names = [f for f in spec.used_features if f in reference and f in current]
        self.middle: dict[str, float] = {}
        self.levels: dict[str, list[str]] = {}
        for name in self.names:
            kind = spec.features[name].type
            if kind in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
                self.levels[name] = list(reference[name].astype(str).value_counts().index[:MOST_LEVELS])
            else:
                values = self._numbers(reference, name)
                known = values[np.isfinite(values)]
                self.middle[name] = float(np.median(known)) if len(known) else 0.0
        raw = self._raw(reference)
        owners = [n for n in self.names for _ in self.levels.get(n, ["value", "missing"])]
        self.center, spread = raw.mean(axis=0), raw.std(axis=0)
        self.kept = np.flatnonzero(spread > 0)
        if len(self.kept) == 0:
            raise DataError("no used column has values to compare.")
        self.spread = np.where(spread > 0, spread, 1.0)
        if len(self.kept) > MOST_COLUMNS:
            moved = np.abs(self._raw(current).mean(axis=0) - self.center) / self.spread
            self.kept = np.sort(self.kept[np.argsort(-moved[self.kept], kind="stable")[:MOST_COLUMNS]])
        self.owners = [owners[i] for i in self.kept]
        """The feature that each column of the matrix comes from."""

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """(rows, columns), in standard deviations of the reference, cut at 6."""
        scaled: Floats = np.clip((self._raw(frame) - self.center) / self.spread, -6, 6)[:, self.kept]
        return scaled

    def beyond(self, reference: pd.DataFrame, current: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Current rows beyond a range of the reference (by 2 % of it), or of a category that it never had."""
        out = np.zeros(len(current), dtype=bool)
        for name in self.names:
            if name in self.levels:
                out |= (~current[name].astype(str).isin(reference[name].astype(str).unique())).to_numpy()
                continue
            known = self._numbers(reference, name)
            known = known[np.isfinite(known)]
            if len(known):
                values = self._numbers(current, name)
                margin = MARGIN * float(known.max() - known.min())
                out |= (values < known.min() - margin) | (values > known.max() + margin)
        return out

    def _numbers(self, frame: pd.DataFrame, name: str) -> Floats:
        kind = self.spec.features[name].type
        if kind is FeatureType.NUMERIC:
            return pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return as_numbers(frame[name], kind, frame)

    def _raw(self, frame: pd.DataFrame) -> Floats:
        columns: list[Floats] = []
        for name in self.names:
            if name in self.levels:
                text = frame[name].astype(str)
                columns += [np.asarray(text == level, np.float64) for level in self.levels[name]]
            else:
                values = self._numbers(frame, name)
                missing = ~np.isfinite(values)
                columns += [np.where(missing, self.middle[name], values), np.asarray(missing, np.float64)]
        return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


def overlap(inputs: Inputs, reference: pd.DataFrame, current: pd.DataFrame, seed: int) -> Overlap:
    """Weights by a cross-fitted logistic regression on the inputs and their squares; foreign rows by boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    n, m = len(reference), len(current)
    both = np.vstack([inputs.matrix(reference), inputs.matrix(current)])
    side = np.r_[np.zeros(n), np.ones(m)]
    order = np.random.default_rng(seed).permutation(n + m)
    smooth = LogisticRegression(C=0.1, max_iter=500)
    p = np.empty(n + m)
    terms = np.hstack([both, both**2])
    p[order] = cross_val_predict(smooth, terms[order], side[order], cv=3, method="predict_proba")[:, 1]
    p = np.clip(p[:n], 1e-3, 1 - 1e-3)
    ratio = p / (1 - p) * n / m
    ratio = np.minimum(ratio, np.quantile(ratio, 0.995))
    ratio /= ratio.mean()
    sharp = HistGradientBoostingClassifier(  # without weights: with them, sklearn 1.9 takes minutes to bin 60 columns
        max_iter=60, max_depth=3, max_bins=64, min_samples_leaf=20, random_state=seed, early_stopping=False
    )
    q = np.empty(n + m)
    q[order] = cross_val_predict(sharp, both[order], side[order], cv=2, method="predict_proba")[:, 1]
    odds = q[n:] / np.maximum(1 - q[n:], 1e-9) * n / m  # as if both had as many rows
    foreign = inputs.beyond(reference, current) | (odds > FOREIGN / (1 - FOREIGN))
    return Overlap(ratio, float(ratio.sum() ** 2 / (ratio**2).sum()), float(foreign.mean()))
