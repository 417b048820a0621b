"""What answers for one version of a model, as fast as can be had without a different answer.

    plan        what stands before and after the numbers of a model, as plain values
    encode      rows -> matrix                       outcome   output -> answers
    scorers     ONNX Runtime, XGBoost's C library    native    the fitted model itself, through a table
    convert     estimator -> files                   probes    real and hostile rows
    gate        same answer on every probe, or not used
    prepare     all of it, once per version, beside the server; `open_prepared` takes milliseconds

`load` does both for a model in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml.serving.rows import Engine

if TYPE_CHECKING:
    import pandas as pd

    from ml.models.recipes import FittedModel
    from ml.spec import ModelSpec

__all__ = ["load"]


def load(
    fitted: FittedModel,
    spec: ModelSpec,
    reference: pd.DataFrame | None = None,
    *,
    directory: Path | None = None,
    prefer: Sequence[str] = ("onnx-int8", "onnx", "xgboost"),
) -> Engine:
    """The fastest engine that agrees with `fitted` on the reference's rows and on hostile ones; else the model itself.

    directory: where the converted files go, to be opened again by `prepare.open_prepared`; default: they are thrown
    away. prefer: `()` for the model itself.
    """
    from ml.serving.engines.native import NativeEngine
    from ml.serving.engines.prepare import open_prepared, prepare

    if directory is None:
        with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
            return load(fitted, spec, reference, directory=Path(folder), prefer=prefer)
    kinds = {name: str(feature.type) for name, feature in spec.features.items()}
    prepare(spec.name, fitted, kinds, directory, reference=reference, prefer=prefer)
    _, engine = open_prepared(directory)
    return engine or NativeEngine(spec.name, fitted)
