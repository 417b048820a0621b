"""Records of the journal as tables: per model, what was served, what was answered in the shadow, and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.serving.records import Labelled, Served
from ml.spec import FeatureType, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

SHADOW = "shadow"


def served_frame(records: Sequence[Served], spec: ModelSpec) -> pd.DataFrame:
    """The rows as the log takes them. An id that stands more than once is one prediction: its first answer."""
    import pandas as pd

    rows = [len(record.ids) for record in records]
    columns: dict[str, Any] = {"prediction_id": [name for record in records for name in record.ids]}
    moments = np.repeat([record.at for record in records], rows).astype("datetime64[us]")
    columns[spec.timestamp] = pd.DatetimeIndex(moments, tz="UTC")
    named = [*spec.features]
    if spec.entity and spec.entity not in spec.features and any(spec.entity in record.columns for record in records):
        named.append(spec.entity)
    for name in named:
        numeric = name in spec.features and spec.features[name].type is FeatureType.NUMERIC
        values = _values(records, rows, name)
        columns[name] = np.array(values, np.float64) if numeric else pd.Series(values, dtype=object)
    columns["prediction"] = pd.Series([v for record in records for v in record.predictions], dtype=object)
    columns["score"] = np.array([v for record in records for v in record.scores], np.float64)
    columns["model_version"] = np.repeat(np.array([record.version for record in records], object), rows)
    columns["route"] = np.repeat(np.array([record.route for record in records], object), rows)
    columns["latency"] = np.repeat(np.array([record.latency for record in records], np.float64), rows)
    frame = pd.DataFrame(columns)
    return frame.drop_duplicates("prediction_id", keep="first", ignore_index=True)


def labels_frame(records: Iterable[Labelled]) -> pd.DataFrame:
    """The labels as the log takes them; of two for one prediction and moment, what was said last."""
    import pandas as pd

    ids, labels, known = [], [], []
    for record in records:
        ids += record.ids
        labels += record.labels
        known += [time if time is not None else _moment(record.at) for time in record.times]
    frame = pd.DataFrame(
        {
            "prediction_id": ids,
            "label": pd.Series(labels, dtype=object),
            "label_timestamp": pd.to_datetime(pd.Series(known, dtype=object), utc=True, format="ISO8601"),
        }
    )
    return frame.drop_duplicates(["prediction_id", "label_timestamp"], keep="last", ignore_index=True)


def _moment(at: int) -> str:
    return str(np.datetime64(at, "us")) + "Z"


def _values(records: Sequence[Served], rows: Sequence[int], name: str) -> list[Any]:
    """The values of one column; missing where a record does not have it."""
    if len(rows) == sum(rows) and all(record.single for record in records):
        return [record.columns.get(name) for record in records]
    values: list[Any] = []
    for record, n in zip(records, rows, strict=True):
        given = record.columns.get(name)
        if given is None:
            values += [None] * n
        elif record.single:
            values.append(given)
        elif isinstance(given, bytes):
            values += np.frombuffer(given, np.float64).tolist()
        else:
            values += given
    return values
