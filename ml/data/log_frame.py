"""The form of the log's rows: their Arrow schema when written, their pandas types when read."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.data.tables import TIME
from ml.errors import InvalidInput
from ml.spec import FeatureType, ModelSpec, Task

if TYPE_CHECKING:
    import pyarrow as pa


SERVED = ("route", "latency")  # of rows that the model server answered: which way, and in how many seconds


def served(spec: ModelSpec, columns: Container[str]) -> list[str]:
    """Which of the model server's own columns are there; a feature or an entity of such a name goes before."""
    return [name for name in SERVED if name in columns and name not in spec.features and name != spec.entity]


def arrow_schema(spec: ModelSpec, frame: pd.DataFrame) -> pa.Schema:
    """How the rows of a model are stored."""
    import pyarrow as pa

    time = pa.timestamp("us", "UTC")
    of_type = {
        FeatureType.NUMERIC: pa.float64(),
        FeatureType.CATEGORICAL: pa.string(),
        FeatureType.TEXT: pa.string(),
        FeatureType.BOOLEAN: pa.bool_(),
        FeatureType.DATETIME: time,
    }
    fields = {"prediction_id": pa.string(), "timestamp": time}
    fields |= {name: of_type[feature.type] for name, feature in spec.features.items()}
    if spec.entity and spec.entity in frame:
        fields.setdefault(spec.entity, pa.string())
    own = {"route": pa.string(), "latency": pa.float64()}
    fields |= {name: own[name] for name in served(spec, frame)}
    answer = pa.float64() if spec.task is Task.REGRESSION else pa.string()
    fields |= {"prediction": answer, "score": pa.float64(), "model_version": pa.string()}
    return pa.schema(fields)


def conform(frame: pd.DataFrame, spec: ModelSpec, wanted: list[str] | None, stored: Sequence[str]) -> pd.DataFrame:
    """The rows in the types of a log frame, whatever a column's emptiness made of them."""
    entity = [spec.entity] if spec.entity and spec.entity not in spec.features and spec.entity in stored else []
    full = ["prediction_id", "timestamp", *spec.features, *entity, "prediction", "score", "model_version"]
    full += ["label", "label_timestamp", *served(spec, stored)]
    if unknown := [column for column in wanted or () if column not in full]:
        raise InvalidInput(f"{unknown[0]!r} is no column of the log of {spec.name!r}; it has {', '.join(full)}.")
    timed = ["latency"] if "latency" in served(spec, stored) else []
    numbers = ["score", *timed, *(["prediction", "label"] if spec.task is Task.REGRESSION else [])]
    out: dict[str, pd.Series] = {}
    for column in full if wanted is None else wanted:
        values = frame[column] if column in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
        feature = spec.features.get(column)
        if column in ("timestamp", "label_timestamp") or (feature and feature.type is FeatureType.DATETIME):
            out[column] = pd.to_datetime(values, utc=True).astype(TIME)
        elif feature and feature.type is FeatureType.BOOLEAN:
            out[column] = values.astype("boolean")
        elif column in numbers or (feature and feature.type is FeatureType.NUMERIC):
            out[column] = values if values.dtype == np.float64 else values.astype("float64")
        else:
            out[column] = values if values.dtype == object else values.astype(object).where(values.notna(), None)
    return pd.DataFrame(out, index=frame.index, copy=False)
