"""What the rest of the house knows of a model: a version that turns rows into predictions."""

from __future__ import annotations

from typing import Protocol

import pandas as pd


class Predictor(Protocol):
    """A fitted model. Loaded from MLflow by `registry`, or fitted in memory by `recipes`."""

    @property
    def version(self) -> str:
        """The registry's version, or a label such as `surrogate` where there is none."""

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Columns `prediction` (class or value) and `score` (probability of the positive class for binary tasks, of the
        predicted class for multiclass, NaN for regression), on the index of `frame`.

        `frame` has at least the spec's used features; missing values and unseen categories are allowed.
        Raises: DataError naming the column that is missing.
        """
