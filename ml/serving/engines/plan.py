"""What stands before and after the numbers of a model, as plain values: how rows become its matrix, and how its output
becomes classes and scores. Read from a fitted model once; kept as JSON, so that the process that answers needs neither
pandas nor scikit-learn.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.models.recipes import FittedModel


@dataclass(frozen=True, slots=True)
class Step:
    """How one feature becomes columns of the matrix; see `ml.models.encoding.RowEncoder`.

    levels: the categories with a column of their own. words, idf: word -> place, and weights. center, scale: one number
    per number of the feature, empty where missing stays missing.
    """

    feature: str
    kind: str
    levels: tuple[str, ...] = ()
    words: dict[str, int] | None = None
    idf: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        if self.kind == "categorical":
            return len(self.levels) + 1
        if self.kind == "text":
            return len(self.words or ()) + 1
        return (7 if self.kind == "datetime" else 1) + (1 if self.scale else 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A model without its estimator.

    clip: numbers beyond 32 bits become the largest; else they are refused, as the estimator itself refuses them.
    required: features that the model cannot answer without. classes: as they stand in the labels, in the order of the
    estimator's columns; empty for regression. positive: number of the class that the score is the probability of; -1
    where the labels do not have it. slope, intercept, calibrated: Platt's map over one class's probability (-1: none).
    """

    model: str
    version: str
    task: str
    steps: tuple[Step, ...]
    clip: bool = True
    required: tuple[str, ...] = ()
    classes: tuple[Any, ...] = ()
    positive: int = -1
    slope: float = 1.0
    intercept: float = 0.0
    calibrated: int = -1

    @property
    def width(self) -> int:
        return sum(step.width for step in self.steps)

    def requiring(self, features: tuple[str, ...]) -> Plan:
        """The same plan, refusing rows where one of the features is missing."""
        return replace(self, required=features)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        values: dict[str, Any] = json.loads(text)
        steps = tuple(Step(**_tuples(step)) for step in values.pop("steps"))
        return cls(steps=steps, **_tuples(values))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


class NoPlan(ValueError):
    """The model cannot be taken apart; the message says why. Only the native engine can answer for it."""


def take_apart(model: str, fitted: FittedModel) -> tuple[Plan, Any]:
    """The plan of a fitted model, and its bare estimator (fed the matrix). Raises: NoPlan."""
    from ml.metrics import as_class
    from ml.models.encoding import ClassNames, Recalibrated, RowEncoder

    pipeline = fitted.pipeline
    slope, intercept, calibrated = 1.0, 0.0, -1
    if isinstance(pipeline, Recalibrated):
        slope, intercept, calibrated = pipeline.slope, pipeline.intercept, pipeline.positive
        pipeline = pipeline.pipeline
    steps = list(getattr(pipeline, "steps", ()))
    if steps and isinstance(steps[0][1], RowEncoder):
        if len(steps) != 2:
            raise NoPlan(f"its pipeline has {len(steps)} steps and an encoder with one estimator is known")
        encoder, estimator = steps[0][1], steps[1][1]
        parts, clip = tuple(_step(encoder, name, kind) for name, kind in (encoder.kinds or {}).items()), True
    else:
        parts, clip, estimator = _numbers_only(fitted), False, pipeline
    classes: tuple[Any, ...] = ()
    positive = -1
    if fitted.task != "regression":
        if not hasattr(estimator, "predict_proba"):
            raise NoPlan("it gives no probabilities")
        names = estimator.classes_
        classes = tuple(names.tolist())
        if any(not isinstance(name, (bool, int, float, str)) for name in classes):
            raise NoPlan("its classes are neither text nor numbers")
        hits = [j for j, name in enumerate(as_class(names).tolist()) if name == fitted.positive]
        positive = hits[0] if hits and fitted.task == "binary" else -1
    if isinstance(estimator, ClassNames):
        estimator = estimator.estimator_
    return (
        Plan(
            model,
            fitted.version,
            str(fitted.task),
            parts,
            clip=clip,
            classes=classes,
            positive=positive,
            slope=float(slope),
            intercept=float(intercept),
            calibrated=int(calibrated),
        ),
        estimator,
    )


def _step(encoder: Any, name: str, kind: str) -> Step:
    if kind == "categorical":
        return Step(name, kind, levels=tuple(encoder.levels_[name]))
    if kind == "text":
        words = encoder.words_.get(name)
        if words is None:
            return Step(name, kind)
        return Step(
            name,
            kind,
            words={str(word): int(place) for word, place in words.vocabulary_.items()},
            idf=tuple(float(weight) for weight in words.idf_),
        )
    if not encoder.fill:
        return Step(name, kind)
    places = [f"{name}/{j}" for j in range(7 if kind == "datetime" else 1)]
    return Step(
        name,
        kind,
        center=tuple(float(encoder.center_[place]) for place in places),
        scale=tuple(float(encoder.scale_[place]) for place in places),
    )


def _numbers_only(fitted: FittedModel) -> tuple[Step, ...]:
    """An estimator that is not ours is fed the columns as they are; only numbers need no knowledge of it."""
    kinds = fitted.kinds or {}
    if other := [f"{name!r} ({kind})" for name, kind in kinds.items() if kind != "numeric"]:
        raise NoPlan(f"it encodes {other[0]} itself")
    return tuple(Step(name, "numeric") for name in fitted.feature_names)
