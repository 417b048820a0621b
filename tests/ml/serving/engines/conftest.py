"""A model over features of every type, and rows for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.spec import ModelSpec

KINDS = {
    "amount": "numeric",
    "age": "numeric",
    "plan": "categorical",
    "member": "boolean",
    "joined": "datetime",
    "note": "text",
}


def mixed_spec(task: str = "binary", trainer: str = "xgboost", **parameters: object) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "churn",
            "task": task,
            "features": {name: {"type": kind} for name, kind in KINDS.items()},
            "trainer": trainer,
            "training": {"parameters": parameters},
        }
    )


def number_spec(task: str = "binary", width: int = 6, **parameters: object) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "numbers",
            "task": task,
            "features": {f"x{j}": {"type": "numeric"} for j in range(width)},
            "training": {"parameters": {"n_estimators": 30, **parameters}},
        }
    )


@pytest.fixture(scope="session")
def mixed_rows() -> pd.DataFrame:
    """400 rows of every type, with gaps; columns binary, many and number are labels."""
    rng = np.random.default_rng(7)
    n = 400
    frame = pd.DataFrame(
        {
            "amount": rng.normal(100, 20, n),
            "age": rng.integers(18, 80, n).astype(float),
            "plan": rng.choice(np.array(["basic", "plus", "max", None], dtype=object), n),
            "member": rng.choice(np.array([True, False, None], dtype=object), n),
            "joined": pd.date_range("2020-01-01", periods=n, freq="6h7min3s", tz="UTC"),
            "note": rng.choice(["late payment again, late", "all good", "asked for help", ""], n).astype(object),
        }
    )
    signal = (frame["amount"] - 100) / 20 + 1.5 * (frame["plan"] == "max") + rng.normal(0, 0.5, n)
    frame["binary"] = (signal > 0.5).astype(int)
    frame["many"] = np.where(signal < -0.5, "low", np.where(signal > 1, "high", "middle"))
    frame["number"] = 50 + 10 * signal
    frame.loc[rng.random(n) < 0.1, "amount"] = np.nan
    return frame


@pytest.fixture(scope="session")
def number_rows() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(400, 6)), columns=[f"x{j}" for j in range(6)])
    signal = frame["x0"] + frame["x1"] * frame["x2"] + rng.normal(0, 0.5, 400)
    frame["binary"] = (signal > 0).astype(int)
    frame["many"] = np.where(signal < -0.5, 0, np.where(signal > 1, 2, 1))
    frame["number"] = 1000 * signal
    return frame.mask(rng.random(frame.shape) < 0.05).assign(
        binary=frame["binary"], many=frame["many"], number=frame["number"]
    )
