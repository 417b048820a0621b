"""An example of your own trainer: name it in a spec as `trainer: trainer:train`."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier


def train(features: pd.DataFrame, label: pd.Series, spec: Any) -> Any:
    """Fit on a frame of the spec's used features; return anything with `predict` (and `predict_proba` for classes)."""
    numbers = features.select_dtypes("number").columns
    return HistGradientBoostingClassifier(**spec.training.parameters).fit(features[numbers], label)
