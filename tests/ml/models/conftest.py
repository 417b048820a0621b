"""One MLflow store for all tests of a worker (its first migration takes seconds), and rows of every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.models.registry import Registry
from ml.spec import ModelSpec, parse_spec

FEATURES = {
    "amount": "numeric",
    "age": "numeric",
    "plan": "categorical",
    "member": "boolean",
    "joined": "datetime",
    "note": "text",
}


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture
def make_spec() -> Callable[..., ModelSpec]:
    """A spec over the six features; further YAML lines as given, a dict as features=."""

    def make(task: str = "binary", *lines: str, name: str = "churn", features: dict[str, str] = FEATURES) -> ModelSpec:
        columns = [f"  {column}: {{type: {kind}}}" for column, kind in features.items()]
        return parse_spec("\n".join([f"name: {name}", f"task: {task}", *lines, "features:", *columns]))

    return make


@pytest.fixture
def make_rows() -> Callable[..., pd.DataFrame]:
    """Rows whose label depends on amount and plan; one of each kind of bad value is among them."""

    def make(n: int = 600, *, task: str = "binary", seed: int = 0) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(
            {
                "timestamp": pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC").astype("datetime64[us, UTC]"),
                "amount": rng.normal(100, 20, n),
                "age": rng.integers(18, 80, n).astype(float),
                "plan": rng.choice(["basic", "plus", "max"], n).astype(object),
                "member": rng.choice(np.array([True, False, None], dtype=object), n),
                "joined": pd.date_range("2020-01-01", periods=n, freq="6h", tz="UTC"),
                "note": rng.choice(["late payment again", "all good", "asked for help"], n).astype(object),
            }
        )
        signal = (frame["amount"] - 100) / 20 + 1.5 * (frame["plan"] == "max") + rng.normal(0, 0.5, n)
        labels: dict[str, Any] = {
            "binary": (signal > 0.5).astype(int),
            "multiclass": np.where(signal > 1, "leaves", np.where(signal < 0, "stays", "unsure")),
            "regression": 10 * signal + 50,
        }
        frame["label"] = labels[task]
        frame.loc[1, "amount"] = np.inf
        frame.loc[2, ["amount", "plan", "note", "joined"]] = None
        return frame

    return make
