"""A small seeded world for the tests of diagnosis: a loan book whose model is good, and ways to break it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from ml.models import recipes
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec

START = pd.Timestamp("2026-03-01", tz="UTC")
SPEC = ModelSpec.model_validate(
    {
        "name": "loans",
        "task": "binary",
        "features": {
            "income": {"type": "numeric", "unit": "EUR"},
            "age": {"type": "numeric"},
            "debt": {"type": "numeric"},
            "branch": {"type": "categorical"},
            "batch": {"type": "numeric", "used": False},
        },
        "segments": ["branch"],
        "trainer": "sklearn:linear_model.LogisticRegression",
        "owner": "#loans",
        "data_owner": "#loans-data",
    }
)


def rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    income = rng.lognormal(10.3, 0.4, n)
    age = np.clip(rng.normal(45, 12, n), 18, 90)
    debt = rng.gamma(3, 2, n)
    branch = rng.choice(["north", "south", "east"], n, p=[0.4, 0.35, 0.25])
    z = 2.2 * (np.log(income) - 10.3) / 0.4 - 0.9 * (debt - 6) / 3.4 + 0.02 * (age - 45) + (branch == "south") * 0.5
    label = (rng.random(n) < 1 / (1 + np.exp(-1.5 * z))).astype(int)
    return pd.DataFrame(
        {"income": income, "age": age, "debt": debt, "branch": branch, "batch": rng.normal(100, 10, n), "label": label}
    )


@cache
def champion() -> FittedModel:
    return recipes.fit(SPEC, rows(2000, 1)).with_version("1")


def served(frame: pd.DataFrame, model: FittedModel | None = None, start: pd.Timestamp = START) -> pd.DataFrame:
    model = model or champion()
    out = model.predict(frame)
    times = pd.date_range(start, periods=len(frame), freq="10min")
    return frame.assign(
        timestamp=frame.get("timestamp", times),
        prediction=out["prediction"].to_numpy(),
        score=out["score"].to_numpy(),
        model_version=model.version,
    )


def reference(n: int = 1000) -> pd.DataFrame:
    return served(rows(n, 2), start=START - pd.Timedelta(days=60))


def history(n: int = 2000) -> pd.DataFrame:
    return served(rows(n, 3), start=START - pd.Timedelta(days=30))
