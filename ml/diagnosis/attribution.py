"""How much of a change of loss is inputs and how much the relation (DISDE), and which rows carry it.

Source: Cai, Namkoong, Yadlowsky (2023), "Diagnosing model performance under distribution shift", arXiv 2303.02011.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.spec import FeatureType, ModelSpec

Floats = npt.NDArray[np.float64]
_MOST = 3000


@dataclass(frozen=True, slots=True)
class Attribution:
    """The change splits exactly into `mix` (more of the hard cases), `relation` (Y given X) and `unseen` (new region).

    auc: of the domain classifier. shared: effective share of current rows in the shared region. apart: True where the
    two frames do not overlap, so that inputs and relation cannot be told apart. novel: share of current rows that look
    like none of the reference.
    """

    mix: float
    relation: float
    unseen: float
    relation_se: float
    auc: float
    shared: float
    apart: bool
    novel: float


def attribute(
    spec: ModelSpec, reference: pd.DataFrame, ref_loss: Floats, current: pd.DataFrame, cur_loss: Floats, seed: int
) -> Attribution | None:
    """Split the difference of mean loss; None with fewer than 60 rows on either side."""
    if min(len(reference), len(current)) < 60:
        return None
    rng = np.random.default_rng(seed)
    keep_r, keep_c = _sample(rng, len(reference)), _sample(rng, len(current))
    reference, ref_loss = reference.iloc[keep_r], ref_loss[keep_r]
    current, cur_loss = current.iloc[keep_c], cur_loss[keep_c]
    score = domain_score(spec, reference, current, seed)
    n = len(reference)
    p, q = score[:n], score[n:]
    from ml.metrics import roc_auc

    auc = roc_auc(np.r_[np.zeros(n), np.ones(len(q))], score)
    w_ref, w_cur = p, 1 - q
    shared_ref = float(np.average(ref_loss, weights=w_ref))
    shared_cur = float(np.average(cur_loss, weights=w_cur))
    mix = shared_ref - float(ref_loss.mean())
    relation = shared_cur - shared_ref
    unseen = float(cur_loss.mean()) - shared_cur
    se = float(np.hypot(_weighted_se(ref_loss, w_ref), _weighted_se(cur_loss, w_cur)))
    effective = float(w_cur.sum() ** 2 / (w_cur**2).sum())
    effective_ref = float(w_ref.sum() ** 2 / (w_ref**2).sum())
    apart = auc > 0.97 or min(effective, effective_ref) < 30
    return Attribution(mix, relation, unseen, se, float(auc), effective / len(q), apart, float((q > 0.9).mean()))


def domain_score(spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, seed: int) -> Floats:
    """P(current | x) of every row (reference rows first), cross-fitted in two halves, as if both had equal weight."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from ml.models.encoding import RowEncoder

    kinds = {f: str(spec.features[f].type) for f in spec.used_features}
    both = pd.concat([reference[list(kinds)], current[list(kinds)]], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = RowEncoder(kinds, max_levels=20, max_terms=20).fit(both).transform(both)
    y = np.r_[np.zeros(len(reference)), np.ones(len(current))]
    half = np.random.default_rng(seed).permutation(len(y)) % 2
    score = np.empty(len(y))
    for k in (0, 1):
        model = HistGradientBoostingClassifier(
            max_iter=40, max_depth=3, max_bins=64, min_samples_leaf=20, random_state=seed, early_stopping=False
        )
        model.fit(x[half != k], y[half != k])
        score[half == k] = model.predict_proba(x[half == k])[:, 1]
    # afterwards, not by weights: with them sklearn 1.9 bins a hundred times as slowly
    odds = score / np.maximum(1 - score, 1e-9) * len(reference) / max(len(current), 1)
    return np.asarray(np.clip(odds / (1 + odds), 0.01, 0.99), np.float64)


def _sample(rng: np.random.Generator, n: int) -> npt.NDArray[np.int_]:
    return np.arange(n) if n <= _MOST else np.sort(rng.choice(n, _MOST, replace=False))


def _weighted_se(loss: Floats, weight: Floats) -> float:
    w = weight / weight.sum()
    return float(np.sqrt((w**2 * (loss - (w * loss).sum()) ** 2).sum()))


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows where a column has one value (or lies in one range): `share` of the rows, `carries` of the whole harm."""

    column: str
    value: str
    share: float
    carries: float
    harm: float
    low: float
    outside: float
    outside_high: float
    n: int

    @property
    def alone(self) -> bool:
        """Whether the rows outside are as ever; where they are clearly harmed too, the slice is only the worst part."""
        outside_low = 2 * self.outside - self.outside_high
        return outside_low <= 0.1 * self.harm

    @property
    def text(self) -> str:
        return f"{self.column}={self.value}"


def slices(
    spec: ModelSpec,
    reference: pd.DataFrame,
    ref_loss: Floats,
    current: pd.DataFrame,
    cur_loss: Floats,
    most: float = 0.5,
) -> list[Slice]:
    """Slices of at most `most` of the rows (30 at least) whose loss rose, those that carry the most harm first.

    Levels of categorical and boolean columns (the spec's segments first) and quarters of numeric ones.
    """
    total = float(cur_loss.mean() - ref_loss.mean())
    if total <= 0 or len(current) < 60:
        return []
    out = []
    for name, feature in spec.features.items():
        if feature.type is FeatureType.NUMERIC:
            values = reference[name].to_numpy(np.float64)
            known = values[np.isfinite(values)]
            edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75])) if len(known) else np.zeros(0)
            if len(edges) < 3:
                continue
            ref_code = np.digitize(values, edges).astype(object)
            cur_code = np.digitize(current[name].to_numpy(np.float64), edges).astype(object)
            names = {
                0: f"<{edges[0]:g}",
                1: f"{edges[0]:g} to {edges[1]:g}",
                2: f"{edges[1]:g} to {edges[2]:g}",
                3: f">={edges[2]:g}",
            }
        elif feature.type in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            ref_code, cur_code = reference[name].astype(str).to_numpy(), current[name].astype(str).to_numpy()
            names = {}
        else:
            continue
        for level in pd.unique(cur_code)[:50]:
            inside, before = cur_code == level, ref_code == level
            n = int(inside.sum())
            if n < 30 or before.sum() < 20 or n > most * len(current):
                continue
            harm = float(cur_loss[inside].mean() - ref_loss[before].mean())
            se = float(np.hypot(cur_loss[inside].std() / np.sqrt(n), ref_loss[before].std() / np.sqrt(before.sum())))
            rest, rest_ref = cur_loss[~inside], ref_loss[~before]
            if len(rest_ref) < 20:
                continue
            outside = float(rest.mean() - rest_ref.mean())
            outside_se = float(np.hypot(rest.std() / np.sqrt(len(rest)), rest_ref.std() / np.sqrt(len(rest_ref))))
            mine, theirs = harm * n, outside * len(rest)
            carries = mine / max(mine + max(theirs, 0.0), 1e-12) if mine > 0 else 0.0
            out.append(
                Slice(
                    name,
                    str(names.get(level, level)),
                    n / len(current),
                    carries,
                    harm,
                    harm - 2.6 * se,
                    outside,
                    outside + 1.64 * outside_se,
                    n,
                )
            )
    found = [s for s in out if s.low > 0]
    return sorted(found, key=lambda s: -(s.carries * s.harm * (1.3 if s.column in spec.segments else 1.0)))
