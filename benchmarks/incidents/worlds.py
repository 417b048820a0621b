"""Worlds: where rows come from. A world draws healthy rows with labels, for ever and from one distribution.

Large real tables are dealt like a deck of cards, no row twice. Small ones (below 1,000 rows) would be learnt by heart
if they were resampled: their rows are real ones moved a little, with labels drawn from a model of the whole table.
Synthetic worlds have a known formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ml.models import recipes
from ml.models.recipes import FittedModel
from ml.spec import FeatureType, ModelSpec

DATA = Path(__file__).resolve().parents[2] / "ml" / "data" / "samples"


@dataclass(frozen=True)
class World:
    """strong: used numeric features that matter, the strongest first. segment: a categorical column with few levels, or
    None. train: rows that the model learnt from; pool: rows to draw from (None: `formula` makes them).
    """

    name: str
    real: bool
    spec: ModelSpec
    train: pd.DataFrame
    pool: pd.DataFrame | None
    formula: Callable[[int, np.random.Generator], pd.DataFrame] | None
    model: FittedModel
    strong: tuple[str, ...] = field(default=())
    segment: str | None = None

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Rows with replacement (real tables), or fresh ones."""
        if self.formula is not None:
            return self.formula(n, rng)
        return self.pool.iloc[rng.integers(0, len(self.pool), n)].reset_index(drop=True)


def _finish(
    name: str, real: bool, spec: ModelSpec, rows: pd.DataFrame | None, formula, segment, size: int = 1500
) -> World:
    rng = np.random.default_rng(7)
    if rows is not None:
        order = rng.permutation(len(rows))
        train, pool = rows.iloc[order[: len(rows) // 4]], rows.iloc[order[len(rows) // 4 :]].reset_index(drop=True)
    else:
        train, pool = formula(size, rng), None
    train = train.reset_index(drop=True)
    model = recipes.fit(spec, train).with_version("1")
    probe = pool if pool is not None else formula(1000, rng)
    base = _output(spec, model, probe)
    effect = {}
    for feature in spec.used_features:
        if spec.features[feature].type.value == "numeric" and probe[feature].nunique() > 15:
            mixed = probe.assign(**{feature: rng.permutation(probe[feature].to_numpy())})
            effect[feature] = float(np.abs(_output(spec, model, mixed) - base).mean())
    strong = tuple(sorted(effect, key=lambda f: -effect[f])[:4])
    return World(name, real, spec, train, pool, formula, model, strong, segment)


def _redrawn(spec: ModelSpec, rows: pd.DataFrame) -> Callable[[int, np.random.Generator], pd.DataFrame]:
    """Real rows moved by a twentieth of a standard deviation (zeros and whole numbers stay such), with new labels."""
    rows = rows.reset_index(drop=True)
    plain = spec.training.model_copy(update={"parameters": {"max_depth": 3, "n_estimators": 60}})
    gentle = spec.model_copy(update={"training": plain})
    teacher = recipes.fit(gentle, rows)
    rest = None
    if spec.task.value == "regression":
        rest = (rows["label"] - teacher.predict(rows)["prediction"].astype(float)).to_numpy() * 1.2
    loose = [f for f in spec.of_type(FeatureType.NUMERIC) if rows[f].nunique() > 15]

    def draw(n: int, rng: np.random.Generator) -> pd.DataFrame:
        out = rows.iloc[rng.integers(0, len(rows), n)].reset_index(drop=True)
        for name in loose:
            values = out[name].to_numpy(float)
            moved = values + rng.normal(0, 0.05 * float(rows[name].std()), n)
            if (rows[name].dropna() % 1 == 0).all():
                moved = moved.round()
            out[name] = np.where(values == 0, values, moved)
        answer = teacher.predict(out)
        if rest is None:
            out["label"] = (rng.random(n) < answer["score"].to_numpy(float)).astype(int)
        else:
            out["label"] = answer["prediction"].to_numpy(float) + rng.choice(rest, n)
        return out

    return draw


def _output(spec: ModelSpec, model: FittedModel, frame: pd.DataFrame) -> np.ndarray:
    out = model.predict(frame)
    return out["prediction"].to_numpy(float) if spec.task.value == "regression" else out["score"].to_numpy(float)


def _spec(name: str, task: str, features: dict[str, str], **more: object) -> ModelSpec:
    columns: dict[str, object] = {k: {"type": v} for k, v in features.items()}
    columns["batch_size"] = {"type": "numeric", "used": False}
    return ModelSpec.model_validate({"name": name, "task": task, "features": columns, **more})


def _unused(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(batch_size=np.random.default_rng(3).normal(100.0, 12.0, len(frame)))


@cache
def heart() -> World:
    raw = pd.read_csv(DATA / "heart_disease_uci.csv").rename(columns={"dataset": "hospital"})
    raw["label"] = (raw["num"] > 0).astype(int)
    kinds = {
        "age": "numeric", "sex": "categorical", "hospital": "categorical", "cp": "categorical", "trestbps": "numeric",
        "chol": "numeric", "fbs": "boolean", "restecg": "categorical", "thalch": "numeric", "exang": "boolean",
        "oldpeak": "numeric", "slope": "categorical", "ca": "numeric", "thal": "categorical",
    }  # fmt: skip
    spec = _spec("heart", "binary", kinds, segments=["hospital"])
    return _finish("heart", True, spec, None, _redrawn(spec, _unused(raw[[*kinds, "label"]])), "hospital", 1200)


@cache
def bike() -> World:
    """Bike hours in random order: the natural order is a stream of its own (`natural`)."""
    raw = pd.read_csv(DATA / "bikeshare_2011.csv")
    raw["label"] = raw["bikers"].astype(float)
    kinds = {
        "hr": "numeric", "weekday": "categorical", "workingday": "categorical", "weathersit": "categorical",
        "temp": "numeric", "atemp": "numeric", "hum": "numeric", "windspeed": "numeric", "mnth": "categorical",
    }  # fmt: skip
    spec = _spec("bike", "regression", kinds)
    return _finish("bike", True, spec, _unused(raw[[*kinds, "label"]]), None, "weathersit")


@cache
def rainfall() -> World:
    raw = pd.read_csv(DATA / "rainfall_noaa.csv").iloc[:9000]
    raw.columns = [c.replace(" ", "_").replace("-", "_") for c in raw.columns]
    raw["label"] = raw["rain"].astype(int)
    kinds = {c: "numeric" for c in raw.columns if c not in ("rain", "label")}
    return _finish("rainfall", True, _spec("rainfall", "binary", kinds), _unused(raw[[*kinds, "label"]]), None, None)


@cache
def cancer() -> World:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    raw = data.frame.rename(columns={c: c.replace(" ", "_") for c in data.frame.columns})
    columns = [c for c in raw.columns if c.startswith("mean")]
    raw["label"] = 1 - raw["target"]
    spec = _spec("cancer", "binary", dict.fromkeys(columns, "numeric"))
    return _finish("cancer", True, spec, None, _redrawn(spec, _unused(raw[[*columns, "label"]])), None, 1200)


@cache
def diabetes() -> World:
    from sklearn.datasets import load_diabetes

    raw = load_diabetes(as_frame=True, scaled=False).frame
    raw["label"] = raw["target"].astype(float)
    columns = [c for c in raw.columns if c not in ("target", "label")]
    spec = _spec("diabetes", "regression", dict.fromkeys(columns, "numeric"))
    return _finish(
        "diabetes", True, spec, None, _redrawn(spec, _unused(raw[[*columns, "label"]].astype(float))), None, 1200
    )


def _customers(n: int, rng: np.random.Generator) -> pd.DataFrame:
    city = rng.choice(["north", "south", "east", "west"], n, p=[0.35, 0.3, 0.2, 0.15])
    plan = rng.choice(["basic", "plus", "pro"], n, p=[0.5, 0.3, 0.2])
    age = np.clip(rng.normal(42, 13, n), 18, 90)
    income = rng.lognormal(10.4, 0.45, n)
    tenure = rng.exponential(20, n)
    usage = rng.gamma(3, 12, n)
    score = rng.normal(0, 1, n)
    calls = rng.poisson(2, n).astype(float)
    lift = {"north": 0.0, "south": 0.5, "east": -0.4, "west": 0.2}
    z = 1.1 * (np.log(income) - 10.4) / 0.45 - 0.05 * (tenure - 20) + 0.045 * (usage - 36) + 0.9 * score * (age > 40)
    z += 0.25 * (calls - 2) + np.array([lift[c] for c in city]) + np.where(plan == "pro", 0.9, 0.0) - 0.4
    label = (rng.random(n) < 1 / (1 + np.exp(-1.3 * z))).astype(int)
    return pd.DataFrame(
        {"city": city, "plan": plan, "age": age, "income": income, "tenure": tenure, "usage": usage, "score_b": score,
         "calls": calls, "batch_size": rng.normal(100, 12, n), "label": label}
    )  # fmt: skip


@cache
def customers() -> World:
    kinds = {
        "city": "categorical", "plan": "categorical", "age": "numeric", "income": "numeric", "tenure": "numeric",
        "usage": "numeric", "score_b": "numeric", "calls": "numeric",
    }  # fmt: skip
    spec = _spec("customers", "binary", kinds, segments=["city"])
    return _finish("customers", False, spec, None, _customers, "city", 3000)


def _plants(n: int, rng: np.random.Generator) -> pd.DataFrame:
    line = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    heat = rng.normal(180, 25, n)
    flow = rng.gamma(5, 3, n)
    pressure = rng.normal(30, 6, n)
    humidity = rng.uniform(0.2, 0.9, n)
    speed = rng.normal(1200, 150, n)
    base = 0.4 * (heat - 180) + 5 * np.sqrt(flow) * 3 + 1.5 * np.maximum(pressure - 28, 0) + 30 * humidity**2
    label = 100 + base + 0.02 * (speed - 1200) + np.where(line == "b", 12.0, 0.0) + rng.normal(0, 8, n)
    return pd.DataFrame(
        {"line": line, "heat": heat, "flow": flow, "pressure": pressure, "humidity": humidity, "speed": speed,
         "batch_size": rng.normal(100, 12, n), "label": label}
    )  # fmt: skip


@cache
def plants() -> World:
    kinds = {
        "line": "categorical", "heat": "numeric", "flow": "numeric", "pressure": "numeric", "humidity": "numeric",
        "speed": "numeric",
    }  # fmt: skip
    return _finish(
        "plants", False, _spec("plants", "regression", kinds, segments=["line"]), None, _plants, "line", 3000
    )


WORLDS: dict[str, Callable[[], World]] = {
    "heart": heart, "bike": bike, "rainfall": rainfall, "cancer": cancer, "diabetes": diabetes,
    "customers": customers, "plants": plants,
}  # fmt: skip
