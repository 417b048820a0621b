"""Rows of a log frame -> a matrix of numbers, as the first step of every model that we fit.

`RowEncoder` is a scikit-learn transformer that takes what really arrives: numbers written as text, infinities, missing
values, categories never seen, mixed types. `ClassNames` lets any classifier be fitted on labels of any type. Both hold
plain values only, so that a fitted pipeline can be stored without pickle. This module imports scikit-learn at the top:
import it inside functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.metaestimators import available_if

from ml.errors import DataError
from ml.metrics import Floats, as_class

_TRUE = {"1", "true", "t", "yes", "y"}
_FALSE = {"0", "false", "f", "no", "n"}
_DAY = 86_400.0
_WITHOUT_ZONE = re.compile(r"[^T ]+[T ][\d:.,]+")
_NULLABLE = {1.0: True, 0.0: False}


def as_number(column: pd.Series) -> Floats:
    """A column as floats; what is no finite number (text, None, infinity) is NaN.

    >>> as_number(pd.Series(["1.5", None, "x", float("inf")], dtype=object)).tolist()
    [1.5, nan, nan, nan]
    """
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan).copy()
    values[~np.isfinite(values)] = np.nan
    return values


def as_truth(column: pd.Series) -> Floats:
    """A column as 1.0, 0.0 or NaN: True, 1, "yes" and False, 0, "no" in any case are understood.

    >>> as_truth(pd.Series([True, "no", None, "maybe"], dtype=object)).tolist()
    [1.0, 0.0, nan, nan]
    """
    codes, levels = pd.factorize(column, use_na_sentinel=True)
    known = [1.0 if t in _TRUE else 0.0 if t in _FALSE else np.nan for t in (s.lower() for s in as_class(levels))]
    return np.array([*known, np.nan])[codes]


def as_level(column: pd.Series) -> npt.NDArray[np.object_]:
    """A column as category names, None where missing; 1, 1.0 and "1" are one category."""
    names: npt.NDArray[np.object_] = as_class(column).astype(object)
    names[column.isna().to_numpy()] = None
    return names


def as_moment(column: pd.Series) -> Floats:
    """A column as seconds since 1970 (UTC); NaN where there is no readable time."""
    if column.dtype.kind == "O":  # pandas reads a time without a zone in the zone of the row before: write out UTC
        bare = [isinstance(value, str) and _WITHOUT_ZONE.fullmatch(value) is not None for value in column]
        if any(bare):
            column = column.astype(object).where(~np.array(bare), column.astype(str) + "Z")
    moments = pd.to_datetime(column, utc=True, errors="coerce", format=None if column.dtype.kind == "M" else "ISO8601")
    return np.asarray((moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds(), dtype=np.float64)


def typed(kinds: Mapping[str, str], frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of `kinds` in one type each, for estimators that are not ours: float, boolean (True, False, None),
    text (None where missing), UTC time. Raises: DataError naming a missing column."""
    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        column = _column(frame, name)
        if kind == "numeric":
            columns[name] = as_number(column)
        elif kind == "boolean":
            truth = as_truth(column)
            columns[name] = truth == 1.0 if not np.isnan(truth).any() else _array([_NULLABLE.get(t) for t in truth])
        elif kind == "datetime":
            columns[name] = pd.to_datetime(as_moment(column), unit="s", utc=True)
        else:
            columns[name] = as_level(column)
    return pd.DataFrame(columns, index=frame.index)


def _cycles(seconds: Floats) -> Floats:
    """Hour of day, day of week and day of year as points on a circle, and the day itself."""
    turns = [seconds / _DAY, (seconds / _DAY + 4) / 7, seconds / (365.2425 * _DAY)]
    waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
    return np.column_stack([*waves, seconds / _DAY])


class RowEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Named columns -> float matrix, shape (rows, len(owners_)).

    kinds: feature -> numeric | categorical | boolean | datetime | text, in the order of the features.
    fill: replace missing numbers by the training median (with an indicator column) and scale to unit variance, for
        estimators that cannot do it themselves; False leaves NaN, which trees split on.
    max_levels, max_terms: categories and words kept per column, the most frequent first; the rest share one column.

    After `fit`: `owners_[j]` is the feature that column j of the matrix comes from.
    """

    def __init__(
        self, kinds: Mapping[str, str] | None = None, fill: bool = False, max_levels: int = 40, max_terms: int = 100
    ) -> None:
        self.kinds = kinds
        self.fill = fill
        self.max_levels = max_levels
        self.max_terms = max_terms

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.kinds or {})

    def fit(self, frame: pd.DataFrame, y: object = None) -> RowEncoder:
        """Learn levels, words and fill values. Raises: DataError naming a missing column."""
        self.levels_: dict[str, list[str]] = {}
        self.words_: dict[str, TfidfVectorizer] = {}
        self.center_: dict[str, float] = {}
        self.scale_: dict[str, float] = {}
        self.owners_: list[str] = []
        for name, kind in (self.kinds or {}).items():
            column = _column(frame, name)
            if kind == "categorical":
                self.levels_[name] = self._learn_levels(column)
                width = len(self.levels_[name]) + 1
            elif kind == "text":
                width = self._learn_words(name, column) + 1
            else:
                values = self._numbers(kind, column)
                width = values.shape[1] + int(self.fill)
                if self.fill:
                    known = values[~np.isnan(values).any(axis=1)]
                    for j in range(values.shape[1]):
                        self.center_[f"{name}/{j}"] = float(np.median(known[:, j])) if len(known) else 0.0
                        spread = float(known[:, j].std()) if len(known) else 0.0
                        self.scale_[f"{name}/{j}"] = spread if spread > 0 else 1.0
            self.owners_ += [name] * width
        return self

    def transform(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """The matrix. Raises: DataError naming a missing column."""
        parts: list[Any] = []
        for name, kind in (self.kinds or {}).items():
            column = _column(frame, name)
            if kind == "categorical":
                parts.append(self._one_hot(name, column))
            elif kind == "text":
                parts.append(self._text(name, column))
            else:
                values = self._numbers(kind, column)
                if self.fill:
                    missing = np.isnan(values).any(axis=1)
                    for j in range(values.shape[1]):
                        center, scale = self.center_[f"{name}/{j}"], self.scale_[f"{name}/{j}"]
                        values[:, j] = np.where(missing, 0.0, (values[:, j] - center) / scale)
                    values = np.column_stack([values, missing.astype(np.float64)])
                parts.append(values)
        limit = np.finfo(np.float32).max
        matrix: npt.NDArray[np.float32] = np.clip(np.hstack(parts), -limit, limit).astype(np.float32)
        return matrix

    def _numbers(self, kind: str, column: pd.Series) -> Floats:
        if kind == "datetime":
            return _cycles(as_moment(column))
        return (as_truth(column) if kind == "boolean" else as_number(column))[:, None]

    def _learn_levels(self, column: pd.Series) -> list[str]:
        counts = pd.Series(as_level(column)).value_counts()
        ordered = sorted(counts.index, key=lambda level: (-int(counts[level]), level))
        return [str(level) for level in ordered[: self.max_levels]]

    def _one_hot(self, name: str, column: pd.Series) -> Floats:
        """One column per level and a last one for missing; a level that was not kept is a row of zeros."""
        levels = self.levels_[name]
        place = {level: j for j, level in enumerate(levels)} | {None: len(levels)}
        names = as_level(column)
        codes, unique = pd.factorize(names, use_na_sentinel=False)
        at = np.array([place.get(None if pd.isna(u) else u, -1) for u in unique], dtype=np.intp)[codes]
        matrix = np.zeros((len(column), len(levels) + 1))
        rows = np.flatnonzero(at >= 0)
        matrix[rows, at[rows]] = 1.0
        return matrix

    def _learn_words(self, name: str, column: pd.Series) -> int:
        words = TfidfVectorizer(max_features=self.max_terms, min_df=2, sublinear_tf=True)
        try:
            words.fit(column.fillna("").astype(str))
        except ValueError:  # no word occurs twice
            return 0
        self.words_[name] = words
        return len(words.vocabulary_)

    def _text(self, name: str, column: pd.Series) -> Floats:
        """Weights of the words learnt, and the length as log(1 + characters)."""
        text = column.fillna("").astype(str)
        length = np.log1p(text.str.len().to_numpy(np.float64))[:, None]
        if name not in self.words_:
            return length
        return np.hstack([self.words_[name].transform(text).toarray(), length])


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame:
        raise DataError(
            f"The column {name!r} is missing from the rows; the model is fed it. Send it, empty if unknown."
        )
    column: Any = frame[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(f"The column {name!r} stands twice in the rows; keep one.")
    found: pd.Series = column
    return found


def _gives_probabilities(model: ClassNames) -> bool:
    return hasattr(getattr(model, "estimator_", model.estimator), "predict_proba")


class ClassNames(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fits `estimator` on class numbers 0..k-1 and answers with the classes as they were written in the labels."""

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, **keywords: Any) -> ClassNames:
        codes, names = class_codes(y)
        self.names_ = names
        self.estimator_ = clone(self.estimator).fit(X, codes, **keywords)
        return self

    @property
    def classes_(self) -> npt.NDArray[Any]:
        return _array(self.names_)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        return _array(self.names_)[np.asarray(self.estimator_.predict(X)).astype(np.intp)]

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def predict_proba(self, X: Any) -> Floats:
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)


class Recalibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A fitted two-class pipeline whose probabilities go through sigmoid(slope * logit + intercept) (Platt scaling).

    positive: number of the positive class in the pipeline's own `classes_`.
    """

    def __init__(self, pipeline: Any = None, slope: float = 1.0, intercept: float = 0.0, positive: int = 1) -> None:
        self.pipeline = pipeline
        self.slope = slope
        self.intercept = intercept
        self.positive = positive

    @property
    def classes_(self) -> npt.NDArray[Any]:
        return np.asarray(self.pipeline.classes_)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> Floats:
        p = np.clip(np.asarray(self.pipeline.predict_proba(X))[:, self.positive].astype(np.float64), 1e-6, 1 - 1e-6)
        scaled = 1 / (1 + np.exp(-(self.slope * np.log(p / (1 - p)) + self.intercept)))
        both = np.column_stack([1 - scaled, 1 - scaled])
        both[:, self.positive] = scaled
        return both

    def predict(self, X: Any) -> npt.NDArray[Any]:
        best: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return best


def class_codes(labels: Sequence[Any] | pd.Series) -> tuple[npt.NDArray[np.intp], list[Any]]:
    """Class numbers of the labels, and the classes in the order of their names, as plain values.

    >>> class_codes([1.0, 0.0, 1.0])
    (array([1, 0, 1]), [0, 1])
    """
    codes, names = pd.factorize(as_class(pd.Series(labels)), sort=True)
    first: dict[int, Any] = {}
    for code, label in zip(codes, labels, strict=True):
        if int(code) not in first:
            first[int(code)] = _plain(label)
            if len(first) == len(names):
                break
    return codes.astype(np.intp), [first[j] for j in range(len(names))]


def _plain(label: Any) -> Any:
    value = label.item() if isinstance(label, np.generic) else label
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _array(names: Sequence[Any]) -> npt.NDArray[Any]:
    """Class names as an array: of their own type where they share one, else of objects."""
    if len({type(name) for name in names}) == 1 and isinstance(names[0], (bool, int, float)):
        return np.array(names)
    array = np.empty(len(names), dtype=object)
    array[:] = names
    return array
