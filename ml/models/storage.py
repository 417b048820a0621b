"""A fitted model as an MLflow model directory, and back, without pickle.

Models are written in the skops format. On reading, only types on the list below are built; the list that a model file
carries about itself is never believed (MLflow does, which is why it refuses skops where pickle is switched off).
"""

from __future__ import annotations

import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ml.errors import DataError, InvalidInput, NotFound, SpecError
from ml.metrics import as_class
from ml.models import tracking
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec, Task

# Beside scikit-learn's and NumPy's public types, which skops itself allows: what XGBoost, trees and our own steps need.
TRUSTED = frozenset(
    {
        "ml.models.encoding.ClassNames",
        "ml.models.encoding.Recalibrated",
        "ml.models.encoding.RowEncoder",
        "numpy.dtype",
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRegressor",
    }
)
_PACKAGES = ("scikit-learn", "xgboost", "skops", "pandas", "numpy")


def save(spec: ModelSpec, model: FittedModel, directory: Path, example: pd.DataFrame) -> None:
    """Write an MLflow model directory. `example` (features only) gives the signature.

    Raises: SpecError when the model holds types that could not be read back.
    """
    tracking.quiet()
    check_storable(spec, model)
    rows = example.loc[:, list(model.feature_names)].head(200)
    answer = model.predict(rows)["prediction"]
    with tracking.silence():
        from mlflow.models import infer_signature
        from mlflow.sklearn import save_model

        save_model(
            model.pipeline,
            str(directory),
            serialization_format="skops",
            skops_trusted_types=sorted(TRUSTED | set(_own_types(spec, model.pipeline))),
            signature=infer_signature(_signable(spec, rows), answer.infer_objects().to_frame()),
            pip_requirements=_requirements(),
            metadata={"watchkeeper": {"features": list(model.feature_names), "notes": list(model.notes)}},
        )


def check_storable(spec: ModelSpec, model: FittedModel) -> None:
    """Raises: SpecError naming the type that keeps a model from being stored without pickle."""
    import skops.io

    try:
        packed = skops.io.dumps(model.pipeline)
        asked = set(skops.io.get_untrusted_types(data=packed))
        strange = {name for name in asked - TRUSTED if not _is_own(spec, name)}
        if not strange:
            skops.io.loads(
                packed, trusted=sorted(asked)
            )  # a lambda is packed without complaint and cannot be read back
    except (TypeError, AttributeError, ValueError, ImportError, RecursionError) as error:
        strange, reason = {type(model.pipeline).__name__}, str(error)
    else:
        reason = ""
    if strange:
        raise SpecError(
            f"{spec.name!r}: trainer: the model holds {min(strange)!r}, which cannot be stored without pickle"
            f"{f' ({reason[:120]})' if reason else ''}; return scikit-learn or XGBoost estimators, or a "
            "class defined in the trainer's own module."
        )


def load(spec: ModelSpec, directory: Path, *, version: str, allow_pickle: bool = False) -> FittedModel:
    """The predictor in an MLflow model directory (flavours sklearn and xgboost; any other with `allow_pickle`).

    allow_pickle: also read formats that may run code while they load. Only for files you made yourself.
    Raises: NotFound, InvalidInput when the file holds types that are not trusted or needs pickle, DataError if broken.
    """
    described = _read_mlmodel(directory)
    flavors: dict[str, Any] = described.get("flavors") or {}
    if "sklearn" in flavors:
        pipeline = _load_sklearn(spec, directory, flavors["sklearn"], allow_pickle)
    elif "xgboost" in flavors:
        pipeline = _load_xgboost(spec, directory, flavors["xgboost"])
    elif allow_pickle:
        pipeline = _load_any(directory)
    else:
        raise InvalidInput(
            f"The model {directory} has the flavours {', '.join(flavors) or 'none'}; without running its code only "
            "sklearn (skops) and xgboost can be read. Save it with mlflow.sklearn, or allow pickle if you made it."
        )
    return adopt(spec, pipeline, version=version, described=described)


def adopt(
    spec: ModelSpec, pipeline: Any, *, version: str = "in-memory", described: dict[str, Any] | None = None
) -> FittedModel:
    """A fitted estimator as a predictor: the columns that it wants come from itself, its signature or the spec."""
    described = described or {}
    ours = (described.get("metadata") or {}).get("watchkeeper") or {}
    names = ours.get("features") or _own_columns(pipeline) or _signed_columns(described) or list(spec.used_features)
    if unknown := [name for name in names if name not in spec.features]:
        raise InvalidInput(
            f"Version {version} of {spec.name!r} is fed the column {unknown[0]!r}, which its spec does not have; "
            "add it to the spec's features."
        )
    kinds = None if _encodes(pipeline) else {name: str(spec.features[name].type) for name in names}
    positive = str(as_class([spec.positive])[0])
    return FittedModel(pipeline, tuple(names), spec.task, positive, version, tuple(ours.get("notes") or ()), kinds)


def _encodes(pipeline: Any) -> bool:
    from ml.models.encoding import Recalibrated, RowEncoder

    inner = pipeline.pipeline if isinstance(pipeline, Recalibrated) else pipeline
    steps = getattr(inner, "steps", None) or [("", None)]
    return isinstance(steps[0][1], RowEncoder)


def _own_columns(pipeline: Any) -> list[str]:
    names = getattr(pipeline, "feature_names_in_", None)
    return [] if names is None else [str(name) for name in names]


def _signed_columns(described: dict[str, Any]) -> list[str]:
    inputs = (described.get("signature") or {}).get("inputs")
    try:
        columns = yaml.safe_load(inputs) if isinstance(inputs, str) else inputs
    except yaml.YAMLError:
        return []
    return [str(c["name"]) for c in columns or [] if isinstance(c, dict) and "name" in c]


def _own_types(spec: ModelSpec, thing: Any) -> list[str]:
    import skops.io

    return [name for name in skops.io.get_untrusted_types(data=skops.io.dumps(thing)) if _is_own(spec, name)]


def _is_own(spec: ModelSpec, name: str) -> bool:
    """A type of an own trainer's module, whose code the user runs anyway, is trusted beside the fixed list."""
    module = spec.trainer.partition(":")[0]
    return module not in ("xgboost", "sklearn") and name.rpartition(".")[0] == module


def _read_mlmodel(directory: Path) -> dict[str, Any]:
    path = directory / "MLmodel"
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(
            f"{directory} is no MLflow model: it has no file MLmodel. Give the folder that has one."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save the model again.") from None
    if not isinstance(described, dict):
        raise DataError(f"{path}: is not a description of a model; save the model again.")
    return described


def _inside(directory: Path, name: object) -> Path:
    path = (directory / str(name)).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise InvalidInput(f"The model {directory} points outside its own folder ({name}); it is refused.")
    if not path.exists():
        raise DataError(f"The model {directory} lacks its file {str(name)!r}; save it again.")
    return path


def _load_sklearn(spec: ModelSpec, directory: Path, flavor: dict[str, Any], allow_pickle: bool) -> Any:
    path = _inside(directory, flavor.get("pickled_model", "model.skops"))
    if flavor.get("serialization_format") != "skops":
        if not allow_pickle:
            raise InvalidInput(
                f"The model {directory} is a pickle, which can run any code when read; it is refused. Save it with "
                "mlflow.sklearn.save_model(…, serialization_format='skops'), or allow pickle if you made it yourself."
            )
        import cloudpickle

        with path.open("rb") as handle:
            return cloudpickle.load(handle)
    return read_skops(spec, path)


def read_skops(spec: ModelSpec, path: Path) -> Any:
    """The object in a skops file. Raises: InvalidInput naming the first type that is not trusted; nothing of it ran."""
    import skops.io

    try:
        asked = set(skops.io.get_untrusted_types(file=path))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no readable skops file ({str(error)[:120]}); save the model again.") from error
    if strange := sorted(name for name in asked - TRUSTED if not _is_own(spec, name)):
        raise InvalidInput(
            f"{path}: holds {strange[0]!r}, which is not among the types that may be loaded; it is refused and "
            "nothing of it was run. Use scikit-learn or XGBoost estimators."
        )
    try:
        return skops.io.load(path, trusted=sorted(asked))
    except (KeyError, ValueError, TypeError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({str(error)[:200]}); save the model again.") from error


def _load_xgboost(spec: ModelSpec, directory: Path, flavor: dict[str, Any]) -> Any:
    from xgboost import XGBClassifier, XGBRegressor
    from xgboost.core import XGBoostError

    path = _inside(directory, flavor.get("data", "model.xgb"))
    model = XGBRegressor() if spec.task is Task.REGRESSION else XGBClassifier()
    try:
        model.load_model(path)
    except (XGBoostError, ValueError, TypeError) as error:
        raise DataError(f"{path}: is no readable XGBoost model ({str(error)[:120]}); save it again.") from error
    return model


def _load_any(directory: Path) -> Any:
    from mlflow import pyfunc

    return pyfunc.load_model(str(directory))


def _signable(spec: ModelSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in types that a signature can name: whole numbers as floats (they may go missing), mixed columns as text."""
    from ml.models.encoding import typed

    frame = typed({name: str(spec.features[name].type) for name in rows.columns}, rows)
    for name in frame.select_dtypes(include=["object"]):
        frame[name] = frame[name].map(lambda value: "" if value is None or value != value else str(value))
    for name in frame.select_dtypes(include=["datetimetz"]):
        frame[name] = frame[name].dt.tz_localize(None)
    return frame


def _requirements() -> list[str]:
    lines = []
    for package in (*_PACKAGES, "watchkeeper"):
        try:
            lines.append(f"{package}=={version(package)}")
        except PackageNotFoundError:  # run from a source tree
            continue
    return lines
