"""A fitted model -> a folder from which an engine is opened in milliseconds: converted, checked against the model
itself on real and hostile rows, timed. Takes a second or two and heavy imports; runs beside the server, never in a
request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.errors import DataError
from ml.serving.engines import convert, probes
from ml.serving.engines.fast import FastEngine
from ml.serving.engines.gate import Answer, Verdict, judge, native_answers
from ml.serving.engines.plan import NoPlan, Plan, take_apart
from ml.serving.engines.scorers import BoosterScorer, OnnxScorer, Scorer

if TYPE_CHECKING:
    import pandas as pd

    from ml.models.recipes import FittedModel

MANIFEST = "engine.json"
FORMAT = 1
KINDS = ("onnx-int8", "onnx", "xgboost")
_FILES = {"onnx": "model.onnx", "onnx-int8": "model.int8.onnx", "xgboost": "model.ubj"}
_BATCH = 4096
_SIZES = (8, 32, 128, 512, _BATCH)
_BUDGET = 0.03
"""Seconds for timing one engine at one size."""


@dataclass(frozen=True, slots=True)
class Check:
    """What became of one kind of engine: passed the gate or why not, and what it takes for one row and for 4,096."""

    kind: str
    passed: bool
    why: str = ""
    rows: int = 0
    largest: float = 0.0
    one_us: float = 0.0
    batch_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a folder holds. kind: what answers few rows; batch_kind: what answers `many` rows and more."""

    model: str
    version: str
    kind: str
    batch_kind: str
    many: int
    plan: str
    trees: tuple[int, int] = (0, 0)
    missing: float | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT


def prepare(
    model: str,
    fitted: FittedModel,
    kinds: dict[str, str],
    directory: Path,
    *,
    reference: pd.DataFrame | None = None,
    prefer: Sequence[str] = KINDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Prepared:
    """Write the engines of a fitted model into an empty folder, and what was found out about them.

    kinds: feature -> type, for the features that the model is fed. reference: real rows in the prediction log's form;
    None where there are none. prefer: the kinds that may be used; native is always there. Nothing is raised for a model
    that no engine can take: it answers natively, and `notes` say why.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kinds = {name: kinds[name] for name in fitted.feature_names}
    try:
        plan, estimator = take_apart(model, fitted)
    except NoPlan as reason:
        note = f"Version {fitted.version} of {model!r} answers natively (slower): {reason}."
        return _written(directory, Prepared(model, fitted.version, "native", "native", 0, "", notes=(note,)))
    real = probes.real_rows(kinds, reference) if reference is not None and len(reference) else []
    notes = () if real else (f"Version {fitted.version} of {model!r} has no reference rows; probes were made up.",)
    real = real or probes.made_up_rows(kinds)
    plan, rows, expected = _probed(fitted, plan, kinds, real, convert.splits(estimator, plan))
    checks: list[Check] = []
    passed: dict[str, Scorer] = {}
    for kind in [k for k in ("xgboost", "onnx", "onnx-int8") if k in prefer]:
        check, scorer = _try(kind, plan, estimator, directory, rows, expected, passed, clock)
        checks.append(check)
        if scorer is not None:
            passed[kind] = scorer
    chosen = _choose(passed, checks, plan.width, clock)
    found = Prepared(
        model,
        fitted.version,
        *chosen,
        plan.to_json(),
        trees=convert.tree_range(estimator),
        missing=_finite_or_none(estimator),
        checks=tuple(checks),
        notes=(*notes, *_notes(plan, chosen[0], checks)),
    )
    return _written(directory, found)


def open_prepared(directory: Path) -> tuple[Prepared, FastEngine | None]:
    """What a folder holds, and its engine; None where the model answers natively.

    Raises: DataError when the folder was not written by this release, or is broken.
    """
    found = read(directory)
    if found.kind == "native":
        return found, None
    plan = Plan.from_json(found.plan)
    small = _scorer(found.kind, directory, found.trees, found.missing)
    large = None
    if found.batch_kind != found.kind:
        large = _scorer(found.batch_kind, directory, found.trees, found.missing)
    return found, FastEngine(plan, small, large, many=found.many)


def read(directory: Path) -> Prepared:
    """What a folder holds. Raises: DataError."""
    path = directory / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise DataError(f"{path}: was written by another release; prepare it again.")
        checks = tuple(Check(**check) for check in values.pop("checks"))
        return Prepared(checks=checks, trees=tuple(values.pop("trees")), notes=tuple(values.pop("notes")), **values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({str(error)[:100]}); prepare it again.") from error


def _probed(
    fitted: FittedModel,
    plan: Plan,
    kinds: dict[str, str],
    real: Sequence[probes.Row],
    splits: Mapping[str, Sequence[float]],
) -> tuple[Plan, list[probes.Row], list[Answer]]:
    """The plan, knowing which features the model insists on; the probes; and what the model says to each."""
    whole = probes.complete_row(kinds, real)
    bare = probes.without_each(kinds, whole)
    said = native_answers(fitted, bare)
    required = {name: row for name, row, answer in zip(kinds, bare, said, strict=True) if answer is None}
    hostile = probes.hostile_rows(kinds, real, splits)
    rows = [row for row in (whole, *real, *hostile) if not probes.has_gap(row, required)]
    expected = [*native_answers(fitted, rows), *(None for _ in required)]
    return plan.requiring(tuple(required)), [*rows, *required.values()], expected


def _try(
    kind: str,
    plan: Plan,
    estimator: Any,
    directory: Path,
    rows: Sequence[probes.Row],
    expected: Sequence[Any],
    passed: dict[str, Scorer],
    clock: Callable[[], float],
) -> tuple[Check, Scorer | None]:
    path = directory / _FILES[kind]
    try:
        if kind == "xgboost":
            convert.write_booster(estimator, path)
        elif kind == "onnx":
            convert.write_onnx(estimator, plan.width, path)
        elif "onnx" in passed:
            convert.write_int8(directory / _FILES["onnx"], path)
        else:
            raise convert.CannotConvert("there is no ONNX model that passed to make smaller")
        scorer = _scorer(kind, directory, convert.tree_range(estimator), _finite_or_none(estimator))
        verdict: Verdict = judge(FastEngine(plan, scorer), rows, expected)
    except (convert.CannotConvert, DataError) as reason:
        path.unlink(missing_ok=True)
        return Check(kind, False, str(reason)), None
    if not verdict.passed:
        path.unlink(missing_ok=True)
        return Check(kind, False, verdict.why, verdict.rows, min(verdict.largest, 1e30)), None
    one, batch = (_time(scorer, plan.width, n, clock) * 1e6 for n in (1, _BATCH))
    check = Check(kind, True, "", verdict.rows, verdict.largest, round(one, 1), round(batch, 1))
    if kind == "onnx-int8" and (known := passed.get("onnx")) is not None:
        if one >= 0.9 * _time(known, plan.width, 1, clock) * 1e6:
            path.unlink(missing_ok=True)
            return replace(check, passed=False, why="it agrees, but is no faster than 32 bits"), None
    return check, scorer


def _choose(
    passed: dict[str, Scorer], checks: Sequence[Check], width: int, clock: Callable[[], float]
) -> tuple[str, str, int]:
    """The fastest for one row, the fastest for 4,096, and the number of rows from which the second is used."""
    known = [check for check in checks if check.kind in passed]
    if not known:
        return "native", "native", 0
    small = min(known, key=lambda check: (check.one_us, KINDS.index(check.kind)))
    large = min(known, key=lambda check: check.batch_us)
    if large.kind == small.kind or large.batch_us > 0.85 * small.batch_us:
        return small.kind, small.kind, 0
    for size in _SIZES:
        if _time(passed[large.kind], width, size, clock) < _time(passed[small.kind], width, size, clock):
            return small.kind, large.kind, size
    return small.kind, small.kind, 0


def _time(scorer: Scorer, width: int, n: int, clock: Callable[[], float]) -> float:
    """Seconds of one call: the best within the budget, and of some calls at least, for a machine that is busy."""
    matrix = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    best, begun, calls = float("inf"), clock(), 0
    while True:
        start = clock()
        scorer(matrix)
        now = clock()
        best, calls = min(best, now - start), calls + 1
        if now - begun > _BUDGET and calls >= (50 if n == 1 else 3):
            return best


def _scorer(kind: str, directory: Path, trees: tuple[int, int], missing: float | None) -> Scorer:
    path = directory / _FILES[kind]
    if not path.exists():
        raise DataError(f"{path}: is missing; prepare the model again.")
    if kind == "xgboost":
        return BoosterScorer(path, trees=trees, missing=float("nan") if missing is None else missing)
    return OnnxScorer(path, kind=kind)


def _finite_or_none(estimator: Any) -> float | None:
    if not convert.is_xgboost(estimator):
        return None
    value = convert.missing_value(estimator)
    return None if value != value else value


def _notes(plan: Plan, kind: str, checks: Sequence[Check]) -> tuple[str, ...]:
    """What an operator should know: a fallback, and why."""
    failed = [check for check in checks if not check.passed and check.kind != "onnx-int8"]
    if kind != "native" and (kind.startswith("onnx") or not any(check.kind == "onnx" for check in failed)):
        return ()
    why = "; ".join(f"{check.kind}: {check.why}" for check in failed)
    return (f"Version {plan.version} of {plan.model!r} answers by {kind} (slower): {why}.",)


def _written(directory: Path, found: Prepared) -> Prepared:
    """The manifest last and at once: a folder without it is not prepared."""
    part = directory / f"{MANIFEST}.part"
    part.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    part.replace(directory / MANIFEST)
    return found
