"""Rows whose inputs move and whose relation does not, the true loss under the shift known; and two blind alleys.

The streams are those of the incidents, and two of three classes: wine (real rows moved a little, labels drawn from a
model of the whole table) and a synthetic one. A shift draws rows by weight: P(X) changes, P(Y | X) cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.incidents import worlds
from ml.metrics import row_loss
from ml.models import recipes
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec

MANY = 20_000  # rows from which the true loss under a shift is taken, where rows can be drawn for ever


@dataclass(frozen=True)
class Stream:
    """draw: labelled rows. real: a table's own rows and labels. axes: numeric features that matter, first the most."""

    name: str
    real: str
    spec: ModelSpec
    model: FittedModel
    draw: Callable[[int, np.random.Generator], pd.DataFrame]
    pool: pd.DataFrame | None
    axes: tuple[str, ...]
    segment: str | None

    def serve(self, rows: pd.DataFrame) -> pd.DataFrame:
        out = self.model.predict(rows)
        times = pd.date_range("2026-01-01", periods=len(rows), freq="5min", tz="UTC")
        return rows.assign(prediction=out["prediction"].to_numpy(), score=out["score"].to_numpy(), timestamp=times)

    def deal(self, size: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Reference rows, and others from which the current ones are drawn."""
        if self.pool is None:
            return self.serve(self.draw(size, rng)), self.serve(self.draw(MANY, rng))
        order = rng.permutation(len(self.pool))
        parts = self.pool.iloc[order[:size]], self.pool.iloc[order[size:]]
        return self.serve(parts[0].reset_index(drop=True)), self.serve(parts[1].reset_index(drop=True))


def _of_world(name: str, kind: str) -> Stream:
    world = worlds.WORLDS[name]()
    return Stream(name, kind, world.spec, world.model, world.draw, world.pool, world.strong, world.segment)


@cache
def _wine() -> Stream:
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    columns = ["alcohol", "malic_acid", "ash", "magnesium", "total_phenols", "hue"]
    rows = data.frame[columns].assign(label=data.target.map({0: "barolo", 1: "grignolino", 2: "barbera"}))
    spec = ModelSpec.model_validate(
        {"name": "wine", "task": "multiclass", "features": {c: {"type": "numeric"} for c in columns},
         "trainer": "sklearn:linear_model.LogisticRegression"}
    )  # fmt: skip
    teacher = recipes.fit(spec, rows)
    classes = np.asarray(teacher.pipeline.classes_)

    def draw(n: int, rng: np.random.Generator) -> pd.DataFrame:
        out = rows.iloc[rng.integers(0, len(rows), n)].reset_index(drop=True)
        for name in columns:
            out[name] = out[name] + rng.normal(0, 0.3 * float(rows[name].std()), n)
        shares = teacher.pipeline.predict_proba(out[columns])
        label = (shares.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        return out.assign(label=classes[label])

    trees = spec.model_copy(update={"trainer": "xgboost"})
    model = recipes.fit(trees, draw(600, np.random.default_rng(7)))
    return Stream("wine", "real rows", spec, model, draw, None, ("hue", "alcohol", "malic_acid"), None)


@cache
def _grades() -> Stream:
    spec = ModelSpec.model_validate(
        {"name": "grades", "task": "multiclass", "features": {
            "heat": {"type": "numeric"}, "flow": {"type": "numeric"}, "age": {"type": "numeric"},
            "line": {"type": "categorical"}}}
    )  # fmt: skip

    def draw(n: int, rng: np.random.Generator) -> pd.DataFrame:
        heat, flow, age = rng.normal(0, 1, n), rng.gamma(3, 1, n), rng.uniform(0, 10, n)
        line = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
        z = np.stack([1.5 * heat, 0.8 * (flow - 3) + (line == "b"), 0.3 * (age - 5) * (heat > 0)], axis=1)
        grade = np.array(["low", "middle", "high"])[(z + rng.gumbel(size=z.shape)).argmax(axis=1)]
        return pd.DataFrame({"heat": heat, "flow": flow, "age": age, "line": line, "label": grade})

    model = recipes.fit(spec, draw(2000, np.random.default_rng(7)))
    return Stream("grades", "synthetic", spec, model, draw, None, ("heat", "flow", "age"), "line")


STREAMS: dict[str, Callable[[], Stream]] = {
    "rainfall": lambda: _of_world("rainfall", "real"),
    "bike": lambda: _of_world("bike", "real"),
    "heart": lambda: _of_world("heart", "real rows"),
    "cancer": lambda: _of_world("cancer", "real rows"),
    "diabetes": lambda: _of_world("diabetes", "real rows"),
    "wine": _wine,
    "customers": lambda: _of_world("customers", "synthetic"),
    "plants": lambda: _of_world("plants", "synthetic"),
    "grades": _grades,
}

SHIFTS = ("none", "up", "far up", "two", "harder", "segment")
BLIND = ("no overlap", "new corner", "concept")


def _z(column: pd.Series) -> np.ndarray:
    """Normal scores of the ranks: a tilt is as strong whatever the column's form."""
    from scipy.special import ndtri

    ranks = column.rank(method="average", na_option="keep") / (column.notna().sum() + 1)
    return np.nan_to_num(ndtri(ranks.to_numpy(float)), nan=0.0)


def weights(stream: Stream, rows: pd.DataFrame, shift: str) -> np.ndarray | None:
    """How often each row is drawn under the shift; None where the stream has no such shift."""
    a, b = stream.axes[0], stream.axes[min(1, len(stream.axes) - 1)]
    if shift == "up":
        return np.exp(0.5 * _z(rows[a]))
    if shift == "far up":
        return np.exp(1.0 * _z(rows[a]))
    if shift == "two":
        return np.exp(0.5 * _z(rows[a]) - 0.5 * _z(rows[b]))
    if shift == "harder":
        far = rows["score"] if stream.spec.task.value != "regression" else rows["prediction"]
        unsure = -(far - 0.5).abs() if stream.spec.task.value == "binary" else -far
        return np.exp(0.7 * _z(unsure if stream.spec.task.value != "regression" else far))
    if shift == "segment":
        if stream.segment is None:
            return None
        share = rows[stream.segment].map(rows[stream.segment].value_counts(normalize=True)).to_numpy(float)
        return np.where(share >= 0.05, 1 / share, 0.0)
    return np.ones(len(rows))


@dataclass(frozen=True)
class Case:
    """reference, current: served rows, the current ones' labels for the judge only. true: mean loss under the shift."""

    reference: pd.DataFrame
    current: pd.DataFrame
    true: float
    scale: float


def make(stream: Stream, shift: str, reference: int, current: int, seed: int) -> Case | None:
    """One case; None where the stream has no such shift. scale: 1, or the label's standard deviation (regression)."""
    rng = np.random.default_rng([seed, reference, current, sum(map(ord, stream.name + shift))])
    ref, rest = stream.deal(reference, rng)
    spec = stream.spec
    if shift == "no overlap":
        axis = stream.axes[0]
        low, high = rest[axis].quantile([0.4, 0.6])
        ref, rest = ref[ref[axis] <= low], rest[rest[axis] > high]
    if shift == "new corner":
        a, b = stream.axes[0], stream.axes[min(1, len(stream.axes) - 1)]
        middle = rest[a].median(), rest[b].median()
        ref = ref[~((ref[a] > middle[0]) & (ref[b] > middle[1]))]
        rest = rest[(rest[a] > middle[0]) & (rest[b] > middle[1])]
    if shift == "concept":
        rest = rest.assign(label=_changed(stream, rest, rng))
    weight = weights(stream, rest, shift)
    if weight is None:
        return None
    loss = row_loss(spec, rest)
    true = float(np.average(loss, weights=weight))
    rows = rest.iloc[rng.choice(len(rest), current, p=weight / weight.sum())].reset_index(drop=True)
    scale = float(ref["label"].std()) if spec.task.value == "regression" else 1.0
    return Case(ref.reset_index(drop=True), rows, true, scale)


def _changed(stream: Stream, rows: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """The relation changes where the first axis is high."""
    hit = (rows[stream.axes[0]] > rows[stream.axes[0]].median()).to_numpy()
    if stream.spec.task.value == "regression":
        return rows["label"] + np.where(hit, float(rows["label"].std()), 0.0)
    levels = rows["label"].unique()
    other = pd.Series(levels[rng.integers(0, len(levels), len(rows))], index=rows.index)
    return rows["label"].where(~hit, other)
