"""Rows -> a fitted model, in memory: XGBoost, any scikit-learn estimator, or the user's own function.

Nothing is logged or stored here (that is `training`), so that diagnosis may fit as many trials as it needs.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError, SpecError
from ml.metrics import Floats, as_class, positives, probability
from ml.spec import ModelSpec, Task

MIN_ROWS = 10
XGBOOST_DEFAULTS: dict[str, Any] = {
    "n_estimators": 150,
    "max_depth": 4,
    "learning_rate": 0.1,
    "subsample": 0.9,
    "colsample_bytree": 0.9,
    "tree_method": "hist",
}
_XGBOOST_OTHER_NAMES = (
    "eta",
    "lambda",
    "alpha",
    "tweedie_variance_power",
    "huber_slope",
    "quantile_alpha",
    "nthread",
    "seed",
)
_ONE_THREAD_BELOW = 20_000  # starting threads costs more than a small fit
_SKLEARN_PLACES = (
    "linear_model", "ensemble", "tree", "svm", "neighbors", "naive_bayes", "neural_network",
    "discriminant_analysis", "gaussian_process", "dummy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A `Predictor`: a pipeline with what is needed to feed it and to read its answers.

    pipeline: scikit-learn's Pipeline, or the user's own estimator, taking a frame of `feature_names`.
    positive: the class that `score` is the probability of in binary tasks, as text.
    notes: what a person should know of the fit (a feature with no value at all, say).
    kinds: types that columns are brought to before an estimator that is not ours sees them; None where ours does it.
    """

    pipeline: Any
    feature_names: tuple[str, ...]
    task: Task
    positive: str = "1"
    version: str = "in-memory"
    notes: tuple[str, ...] = ()
    kinds: Mapping[str, str] | None = None

    def with_version(self, version: str) -> FittedModel:
        """The same model under another label."""
        return replace(self, version=version)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Predictions, see `Predictor`. Raises: DataError naming a missing column, or what the model cannot read."""
        if missing := [name for name in self.feature_names if name not in frame]:
            raise DataError(f"The column {missing[0]!r} is missing from the rows; version {self.version} is fed it.")
        answer = pd.DataFrame(index=frame.index)
        if frame.empty:
            kind = np.float64 if self.task is Task.REGRESSION else object
            return answer.assign(prediction=np.array([], dtype=kind), score=np.array([], dtype=np.float64))
        rows = self._rows(frame)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shares = None
                if self.task is not Task.REGRESSION and hasattr(self.pipeline, "predict_proba"):
                    shares = np.asarray(self.pipeline.predict_proba(rows), dtype=np.float64)
                raw = None if shares is not None else np.asarray(self.pipeline.predict(rows))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DataError(f"Version {self.version} cannot score these rows: {_first_line(error)}") from error
        if shares is None:
            return self._without_probabilities(answer, raw)
        classes = np.asarray(self.pipeline.classes_)
        best = shares.argmax(axis=1)
        score = shares.max(axis=1)
        if self.task is Task.BINARY:
            hits = np.flatnonzero(as_class(classes) == self.positive)
            score = shares[:, hits[0]] if len(hits) else np.zeros(len(rows))
        return answer.assign(prediction=classes[best], score=score)

    def _rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self.kinds is None:
            return frame.loc[:, list(self.feature_names)]
        from ml.models.encoding import typed

        return typed(self.kinds, frame)

    def _without_probabilities(self, answer: pd.DataFrame, raw: Any) -> pd.DataFrame:
        values = raw.reshape(len(answer), -1)[:, 0]
        if self.task is Task.REGRESSION:
            values = values.astype(np.float64)
        return answer.assign(prediction=values, score=np.nan)


def fit(
    spec: ModelSpec, frame: pd.DataFrame, *, seed: int = 0, sample_weight: npt.ArrayLike | None = None
) -> FittedModel:
    """Fit the spec's trainer on the rows of `frame` that have a label; only the used features are fed.

    frame: the used features and `label`. sample_weight: one non-negative number per row of `frame`.
    An own trainer (`package.module:function`) is imported as Python finds it: put the workspace on the path first.

    Raises: SpecError naming the trainer or parameter that cannot be used; DataError when the rows cannot teach a model
    (no labels, fewer than 10, one class).
    """
    rows, weight = _training_rows(spec, frame, sample_weight)
    notes = tuple(
        f"{name}: no value in {len(rows)} training rows; the model cannot use it"
        for name in spec.used_features
        if bool(rows[name].isna().all())
    )
    features = rows.loc[:, list(spec.used_features)]
    label = _label(spec, rows)
    kinds = {name: str(spec.features[name].type) for name in spec.used_features}
    own = spec.trainer != "xgboost" and not spec.trainer.startswith("sklearn:")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and feature-name chatter would reach the terminal
        pipeline = (
            _fit_own(spec, kinds, features, label) if own else _fit_pipeline(spec, kinds, features, label, weight, seed)
        )
    return FittedModel(
        pipeline, spec.used_features, spec.task, _positive(spec), notes=notes, kinds=kinds if own else None
    )


def recalibrate(spec: ModelSpec, model: FittedModel, frame: pd.DataFrame) -> FittedModel:
    """The same model with its probabilities mapped to recent labels: a logistic on the logit of the score.

    Raises: DataError where the task or the model has no probabilities, or the labels hold one class.
    """
    from sklearn.linear_model import LogisticRegression

    from ml.models.encoding import Recalibrated

    rows, _ = _training_rows(spec, frame, None)
    p = probability(spec, model.predict(rows)) if spec.task is Task.BINARY else None
    if p is None:
        raise DataError(
            f"{spec.name!r} gives no probabilities of two classes, so there is nothing to recalibrate; retrain."
        )
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))[:, None]
    platt = LogisticRegression(C=100.0).fit(logit, positives(spec, rows["label"]))
    inner = model.pipeline
    slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if isinstance(inner, Recalibrated):  # one map over the other is one map again
        slope, intercept, inner = slope * inner.slope, slope * inner.intercept + intercept, inner.pipeline
    positive = int(np.flatnonzero(as_class(np.asarray(inner.classes_)) == model.positive)[0])
    mapped = Recalibrated(inner, slope, intercept, positive)
    return replace(model, pipeline=mapped, version=f"{model.version}-recalibrated")


def _positive(spec: ModelSpec) -> str:
    return str(as_class([spec.positive])[0])


def _training_rows(spec: ModelSpec, frame: pd.DataFrame, sample_weight: Any) -> tuple[pd.DataFrame, Floats | None]:
    if "label" not in frame:
        raise DataError(f"{spec.name!r}: the training rows have no column 'label'; join the labels first.")
    if missing := [name for name in spec.used_features if name not in frame]:
        raise DataError(
            f"{spec.name!r}: the training rows lack the feature {missing[0]!r}; log it or mark it `used: false`."
        )
    keep = frame["label"].notna().to_numpy()
    if spec.task is Task.REGRESSION:
        keep &= np.isfinite(pd.to_numeric(frame["label"], errors="coerce").to_numpy(np.float64, na_value=np.nan))
    rows = frame[keep]
    if len(rows) < MIN_ROWS:
        raise DataError(f"{spec.name!r}: {len(rows)} rows have a label and training needs {MIN_ROWS}; wait for labels.")
    if spec.task is not Task.REGRESSION:
        classes = np.unique(as_class(rows["label"]))
        if len(classes) < 2:
            raise DataError(
                f"{spec.name!r}: all {len(rows)} labels are {str(classes[0])!r}; training needs rows of two classes."
            )
        if spec.task is Task.BINARY and len(classes) > 2:
            raise DataError(
                f"{spec.name!r}: a binary task has two classes, but the labels are "
                f"{', '.join(map(repr, classes[:4].tolist()))}{' …' if len(classes) > 4 else ''}; "
                "correct the labels or say `task: multiclass`."
            )
        if spec.task is Task.BINARY and _positive(spec) not in classes:
            raise SpecError(
                f"{spec.name!r}: positive: {spec.positive!r} is no class of the labels ({', '.join(classes)})."
            )
    if sample_weight is None:
        return rows, None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(frame),) or not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError(f"{spec.name!r}: sample_weight needs one non-negative number for each of {len(frame)} rows.")
    return rows, weight[keep]


def _label(spec: ModelSpec, rows: pd.DataFrame) -> pd.Series:
    if spec.task is Task.REGRESSION:
        return pd.to_numeric(rows["label"]).astype(np.float64)
    from ml.models.encoding import class_codes

    codes, names = class_codes(rows["label"])
    plain = pd.Series([names[code] for code in codes], index=rows.index, dtype=object, name="label")
    return plain.infer_objects()


def _fit_pipeline(
    spec: ModelSpec, kinds: dict[str, str], features: pd.DataFrame, label: pd.Series, weight: Floats | None, seed: int
) -> Any:
    from sklearn.pipeline import Pipeline

    from ml.models.encoding import ClassNames, RowEncoder

    trees = spec.trainer == "xgboost"
    estimator = _xgboost(spec, len(features), seed) if trees else _sklearn(spec, seed)
    model = estimator if spec.task is Task.REGRESSION else ClassNames(estimator)
    encoder = RowEncoder(kinds, fill=not trees)
    matrix = encoder.fit(features).transform(features)
    keywords: dict[str, Any] = {}
    if weight is not None:
        if "sample_weight" not in inspect.signature(estimator.fit).parameters:
            raise SpecError(
                f"{spec.name!r}: trainer: {spec.trainer!r} cannot weigh rows; choose one whose fit takes sample_weight."
            )
        keywords["sample_weight"] = weight
    try:
        model.fit(matrix, label.to_numpy(), **keywords)
    except (ValueError, TypeError) as error:  # XGBoostError is a ValueError
        given = ", ".join(f"{key}={value!r}" for key, value in spec.training.parameters.items()) or "none"
        raise SpecError(
            f"{spec.name!r}: trainer: {spec.trainer} cannot be fitted with training.parameters {given}: "
            f"{_first_line(error)}"
        ) from error
    return Pipeline([("encode", encoder), ("model", model)])


def _xgboost(spec: ModelSpec, rows: int, seed: int) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if spec.task is Task.REGRESSION else XGBClassifier
    _known_parameters(spec, [*kind().get_params(), *_XGBOOST_OTHER_NAMES])
    defaults = XGBOOST_DEFAULTS | {
        "random_state": seed,
        "n_jobs": 1 if rows < _ONE_THREAD_BELOW else None,
        "verbosity": 0,
    }
    return kind(**(defaults | spec.training.parameters))


def _sklearn(spec: ModelSpec, seed: int) -> Any:
    from sklearn.base import BaseEstimator, is_classifier, is_regressor

    place, _, name = spec.trainer.removeprefix("sklearn:").removeprefix("sklearn.").rpartition(".")
    found = None
    for module in [place] if place else _SKLEARN_PLACES:
        try:
            found = getattr(importlib.import_module(f"sklearn.{module}"), name, None)
        except ImportError:
            continue
        if found is not None:
            break
    if not (isinstance(found, type) and issubclass(found, BaseEstimator) and hasattr(found, "predict")):
        raise SpecError(
            f"{spec.name!r}: trainer: scikit-learn has no estimator {spec.trainer.removeprefix('sklearn:')!r}; "
            "write its name as documented, e.g. sklearn:ensemble.RandomForestClassifier."
        )
    try:
        parameters = found().get_params()
    except TypeError:
        raise SpecError(
            f"{spec.name!r}: trainer: {name} wraps another estimator; write an own trainer function for it."
        ) from None
    _known_parameters(spec, list(parameters))
    defaults = {key: value for key, value in (("random_state", seed), ("max_iter", 1000)) if key in parameters}
    if name == "SVC":
        defaults["probability"] = True
    estimator = found(**(defaults | spec.training.parameters))
    fits = is_regressor(estimator) if spec.task is Task.REGRESSION else is_classifier(estimator)
    if not fits:
        wanted = "regressor" if spec.task is Task.REGRESSION else "classifier"
        raise SpecError(f"{spec.name!r}: trainer: {name} is no {wanted}, which the task {spec.task} needs.")
    return estimator


def _known_parameters(spec: ModelSpec, known: list[str]) -> None:
    for name in spec.training.parameters:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"see the documentation of {spec.trainer}."
            raise SpecError(f"{spec.name!r}: training.parameters: {spec.trainer} has no parameter {name!r}; {hint}")


def _fit_own(spec: ModelSpec, kinds: dict[str, str], features: pd.DataFrame, label: pd.Series) -> Any:
    from ml.models.encoding import typed

    module_name, _, function_name = spec.trainer.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SpecError(
            f"{spec.name!r}: trainer: the module {module_name!r} cannot be imported ({error}); put it in the workspace."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise SpecError(f"{spec.name!r}: trainer: {module_name!r} has no function {function_name!r}.")
    try:
        estimator = function(typed(kinds, features), label, spec)
    except Exception as error:  # the edge to code that is not ours
        raise SpecError(
            f"{spec.name!r}: trainer: {spec.trainer} failed: {type(error).__name__}: {_first_line(error)}"
        ) from error
    if not callable(getattr(estimator, "predict", None)):
        raise SpecError(
            f"{spec.name!r}: trainer: {spec.trainer} returned {type(estimator).__name__}, which has no `predict`; "
            "return a fitted estimator."
        )
    if hasattr(estimator, "predict_proba") and spec.task is not Task.REGRESSION and not hasattr(estimator, "classes_"):
        raise SpecError(
            f"{spec.name!r}: trainer: {type(estimator).__name__} has predict_proba but no `classes_`, so its columns "
            "cannot be told apart; set classes_ when fitting."
        )
    return estimator


def _first_line(error: Exception) -> str:
    """The line of an error that says what is wrong: XGBoost puts it behind the place in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0].rpartition("] ")[2] if lines else type(error).__name__)[:300]
