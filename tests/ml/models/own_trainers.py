"""Trainers as a user would write them, imported by the tests as `own_trainers:…`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ml.spec import ModelSpec


class AboveMean(ClassifierMixin, BaseEstimator):
    """Says 1 above the mean amount."""

    def fit(self, X, y):
        self.mean_ = float(X["amount"].mean())
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        above = (X["amount"] > self.mean_).to_numpy(float)
        return np.column_stack([1 - above, above])

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


def pipeline(features: pd.DataFrame, label: pd.Series, spec: ModelSpec):
    numbers = make_column_transformer((SimpleImputer(), ["amount", "age"]))
    return make_pipeline(numbers, LogisticRegression()).fit(features, label)


def own_class(features: pd.DataFrame, label: pd.Series, spec: ModelSpec):
    return AboveMean().fit(features, label)


def with_a_closure(features: pd.DataFrame, label: pd.Series, spec: ModelSpec):
    model = AboveMean().fit(features, label)
    model.later = lambda: 1
    return model


def nothing(features: pd.DataFrame, label: pd.Series, spec: ModelSpec):
    return {"accuracy": 1.0}


def breaks(features: pd.DataFrame, label: pd.Series, spec: ModelSpec):
    raise RuntimeError("no disk")
