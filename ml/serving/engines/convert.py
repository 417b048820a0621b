"""A bare estimator -> the files that the scorers read. Slow, and never on a request's path."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.serving.engines.plan import Plan

_OPSET = 15


class CannotConvert(ValueError):
    """The message says why, without the engine's name."""


def is_xgboost(estimator: Any) -> bool:
    return type(estimator).__module__.startswith("xgboost.") and hasattr(estimator, "get_booster")


def tree_range(estimator: Any) -> tuple[int, int]:
    """The iterations that the estimator itself predicts with: up to the best where training was stopped early."""
    best = getattr(estimator, "best_iteration", None) if getattr(estimator, "early_stopping_rounds", None) else None
    return (0, 0) if best is None else (0, int(best) + 1)


def missing_value(estimator: Any) -> float:
    """The number that the estimator takes for no value; NaN unless told otherwise."""
    missing = estimator.missing
    return math.nan if missing is None else float(missing)


def write_booster(estimator: Any, path: Path) -> None:
    """XGBoost's own binary JSON. Raises: CannotConvert."""
    if not is_xgboost(estimator):
        raise CannotConvert("the estimator is not XGBoost's")
    estimator.get_booster().save_model(str(path))


def write_onnx(estimator: Any, width: int, path: Path) -> None:
    """ONNX, fed 32-bit numbers of shape (rows, width). Raises: CannotConvert."""
    try:
        model = _xgboost_to_onnx(estimator, width) if is_xgboost(estimator) else _sklearn_to_onnx(estimator, width)
        path.write_bytes(model.SerializeToString())
    except CannotConvert:
        raise
    except Exception as error:  # the edge to converters, which raise whatever they meet
        raise CannotConvert(f"conversion failed: {type(error).__name__}: {str(error).strip()[:160]}") from error


def _xgboost_to_onnx(estimator: Any, width: int) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    if not math.isnan(missing_value(estimator)):
        raise CannotConvert(f"{estimator.missing} stands for missing values and ONNX trees know only NaN")
    if estimator.get_booster().feature_names is not None:
        estimator = _without_names(estimator)
    return convert_xgboost(estimator, initial_types=[("x", FloatTensorType([None, width]))], target_opset=_OPSET)


def _without_names(estimator: Any) -> Any:
    """A copy whose booster names its columns by number, as the converter wants them."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
        path = str(Path(folder) / "model.ubj")
        estimator.save_model(path)
        copy = type(estimator)()
        copy.load_model(path)
    copy.get_booster().feature_names = None
    return copy


def _sklearn_to_onnx(estimator: Any, width: int) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    return convert_sklearn(
        estimator, initial_types=[("x", FloatTensorType([None, width]))], options=options, target_opset=_OPSET
    )


def write_int8(source: Path, path: Path) -> None:
    """The same ONNX model with 8-bit weights. Raises: CannotConvert where it has no matrices, as trees have none."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not any(node.op_type in ("MatMul", "Gemm", "Conv") for node in onnx.load(str(source)).graph.node):
        raise CannotConvert("there are no matrices in it to make smaller; trees have none")
    try:
        quantize_dynamic(str(source), str(path), weight_type=QuantType.QInt8)
    except Exception as error:  # the edge to the quantiser, which raises whatever it meets
        raise CannotConvert(f"quantisation failed: {type(error).__name__}: {str(error).strip()[:160]}") from error


def splits(estimator: Any, plan: Plan) -> Mapping[str, Sequence[float]]:
    """Feature -> thresholds of an XGBoost model's trees, for the plain numbers among its columns; a few hundred."""
    if not is_xgboost(estimator):
        return {}
    place = {}
    start = 0
    for step in plan.steps:
        if step.kind == "numeric" and not step.scale:
            place[start] = step.feature
        start += step.width
    booster = estimator.get_booster()
    names = booster.feature_names
    found: dict[str, list[float]] = {}
    table = booster.trees_to_dataframe()
    for feature, threshold in zip(table["Feature"], table["Split"], strict=True):
        if feature == "Leaf" or threshold != threshold:
            continue
        column = names.index(feature) if names else int(str(feature).removeprefix("f"))
        if column in place:
            found.setdefault(place[column], []).append(float(threshold))
    return found
