"""Rows from outside (a file, an API call) as a log frame: named, typed and checked once, at the door.

Every reader and every monitor behind this door can rely on the form of a log frame:

    prediction_id (text), timestamp (UTC, microseconds), the spec's features, the entity column if there is one,
    prediction (class name, or float64), score (float64), model_version (text), label, label_timestamp (UTC)

numeric features are float64 (infinities are kept: monitors count them), categorical and text are text or None, boolean
is pandas' nullable boolean, datetime is UTC. Class names are text in one form: 1, 1.0 and True are "1" (see
`metrics.as_class`).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ml.data.nulls import NULLS
from ml.errors import DataError
from ml.metrics import as_class
from ml.spec import FeatureType, ModelSpec, Task

Role = Literal["predictions", "labels", "training", "reference", "current", "history"]
TIME = pd.DatetimeTZDtype("us", "UTC")
_TRUE, _FALSE = {"1", "true", "t", "yes", "y"}, {"0", "false", "f", "no", "n"}
_NAMESPACE = uuid.UUID("6d1f4c1e-3b1c-5a9e-9a0e-7c1b6e0f2a55")


def read_table(path: Path | str, spec: ModelSpec, *, role: Role = "predictions") -> pd.DataFrame:
    """A file (CSV, Parquet or JSON lines) as a log frame; see `normalize` for what `role` asks of it.

    Raises: DataError naming the file, and the column and row where there is one.
    """
    path = Path(path)
    return normalize(_read(path), spec, role=role, source=path.name)


def normalize(
    frame: pd.DataFrame, spec: ModelSpec, *, role: Role = "predictions", source: str = "the rows"
) -> pd.DataFrame:
    """Rows as a log frame, in their own order, on a fresh index.

    role: `predictions` and `labels` are strict, as what goes into the log must be right: every feature is there, every
    value is of its type, no id stands twice. `reference`, `current` and `history` are for looking at what is broken: an
    absent feature is all missing, a value of the wrong type is missing and counted in `attrs["invalid"]`
    (`{column: [count, row, value]}`), repeated ids are kept. `training` is strict too, asks for the label instead of
    the prediction, and takes rows without times to be in order, a second apart. Rows are counted from 1, without the
    header.

    Columns that the spec does not name are left out. Ids that are absent are made from the row's content, so that
    the same rows give the same ids. A time without a zone is UTC. NaN is missing; infinities are kept.

    Raises: DataError for no rows, a missing column, a time that is none, and what `role` is strict about.
    """
    if len(frame) == 0:
        raise DataError(f"{source}: there are no rows; give at least one row below the header.")
    frame = frame.reset_index(drop=True)
    _refuse_nesting(frame, source)
    if role == "labels":
        return _labels(frame, spec, source)
    strict = role in ("predictions", "training")
    if role == "training" and not _first(frame, spec.timestamp, "timestamp"):
        order = pd.to_datetime(np.arange(len(frame)), unit="s", utc=True)
        frame = frame.assign(**{spec.timestamp: order})
    broken: dict[str, list[Any]] = {}

    def typed(column: str, kind: FeatureType) -> pd.Series:
        values, bad = _typed(frame[column], kind)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = frame[column].iloc[row]
            if strict:
                raise DataError(
                    f"{source}: column {column!r}, row {row + 1}: {value!r} is not {_A[kind]}; "
                    f"correct the value, leave it empty, or change the column's type in the spec."
                )
            broken[column] = [int(bad.sum()), row + 1, str(value)]
        return values

    label = _first(frame, spec.target, "label")
    answer = {"predictions": "prediction", "training": label or spec.target}
    needed = [*spec.features, answer[role]] if role in answer else []
    time_column = _first(frame, spec.timestamp, "timestamp")
    missing = [] if time_column else [spec.timestamp]
    missing += [column for column in needed if column not in frame]
    if missing or time_column is None:
        raise DataError(
            f"{source}: column {missing[0]!r} is missing{_others(missing)}; "
            f"the spec of {spec.name!r} asks for it, and the file has {_listed(frame.columns)}."
        )
    columns: dict[str, Any] = {"timestamp": _times(frame[time_column], source, required=True)}
    for name, feature in spec.features.items():
        if name in frame:
            columns[name] = typed(name, feature.type)
        else:
            columns[name] = _typed(pd.Series([None] * len(frame), dtype=object), feature.type)[0]
    if spec.entity and spec.entity not in spec.features and spec.entity in frame:
        columns[spec.entity] = typed(spec.entity, FeatureType.CATEGORICAL)
    nothing = pd.Series(np.nan, index=frame.index)
    columns["prediction"] = _outcome(frame, "prediction", spec, source)
    columns["score"] = typed("score", FeatureType.NUMERIC) if "score" in frame else nothing
    version = typed("model_version", FeatureType.CATEGORICAL) if "model_version" in frame else None
    columns["model_version"] = "" if version is None else version.fillna("")
    out = pd.DataFrame(columns, index=frame.index)
    out.insert(0, "prediction_id", _ids(frame, out, spec, source, strict=strict))
    out["label"] = _outcome(frame, label, spec, source)
    known = frame["label_timestamp"] if "label_timestamp" in frame else pd.Series(pd.NaT, index=frame.index)
    out["label_timestamp"] = _times(known, source, required=False)
    if broken:
        out.attrs["invalid"] = broken
    if role == "training" and out["label"].isna().all():
        raise DataError(f"{source}: column {label!r} is empty in every row; training needs labels.")
    return out


_A = {
    FeatureType.NUMERIC: "a number",
    FeatureType.CATEGORICAL: "a category",
    FeatureType.BOOLEAN: "true or false",
    FeatureType.DATETIME: "a time in ISO 8601",
    FeatureType.TEXT: "text",
}


def _labels(frame: pd.DataFrame, spec: ModelSpec, source: str) -> pd.DataFrame:
    label = _first(frame, spec.target, "label")
    missing = [] if "prediction_id" in frame else ["prediction_id"]
    missing += [] if label else [spec.target]
    if missing:
        raise DataError(
            f"{source}: column {missing[0]!r} is missing{_others(missing)}; a file of labels has 'prediction_id' and "
            f"{spec.target!r}, and this one has {_listed(frame.columns)}."
        )
    out = pd.DataFrame({"prediction_id": _given_ids(frame, source), "label": _outcome(frame, label, spec, source)})
    dated = "label_timestamp" in frame
    if dated:
        out["label_timestamp"] = _times(frame["label_timestamp"], source, required=False)
    keys = ["prediction_id", "label_timestamp"] if dated else ["prediction_id"]
    _refuse_repeats(out, keys, source, "with one label each, or with the 'label_timestamp' of each correction")
    return out


def _refuse_nesting(frame: pd.DataFrame, source: str) -> None:
    """One value in each cell, one column of each name: what the rest of this page relies on."""
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{source}: column {twice!r} stands twice; keep one.")
    for column in frame.select_dtypes(object).columns:
        if pd.api.types.infer_dtype(frame[column], skipna=True).startswith("mixed"):
            nested = (
                frame[column].map(lambda value: isinstance(value, (list, dict, set, tuple, np.ndarray))).to_numpy(bool)
            )
            if nested.any():
                row = int(np.flatnonzero(nested)[0])
                raise DataError(
                    f"{source}: column {column!r}, row {row + 1}: holds {frame[column].iloc[row]!r}, and a cell holds "
                    f"one value; flatten it into columns of their own."
                )


def _first(frame: pd.DataFrame, *names: str) -> str | None:
    return next((name for name in names if name in frame), None)


def _others(missing: list[str]) -> str:
    return f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""


def _listed(columns: pd.Index) -> str:
    names = [str(column) for column in columns]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _read(path: Path) -> pd.DataFrame:
    name = path.name.lower()
    kind = next((end for end in name.removesuffix(".gz").split(".")[:0:-1]), "")
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path.")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the files in it.")
    try:
        if kind in ("csv", "tsv"):
            separator = "\t" if kind == "tsv" else ","
            return pd.read_csv(path, dtype=str, sep=separator, keep_default_na=False, na_values=list(NULLS))
        if kind in ("parquet", "pq"):
            return pd.read_parquet(path)
        if kind in ("jsonl", "ndjson", "json"):
            return _json_lines(path)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name}: the file is empty; give a header and at least one row.") from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parsing errors are ValueErrors
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise DataError(f"{path.name}: cannot be read as {kind or 'a table'} ({reason}); check the file.") from None
    raise DataError(f"{path.name}: not a kind of file that can be read; give .csv, .tsv, .parquet or .jsonl.")


def _json_lines(path: Path) -> pd.DataFrame:
    import gzip

    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
    if wrong := next((i for i, row in enumerate(rows, 1) if not isinstance(row, dict)), None):
        raise ValueError(f"row {wrong} is not an object")
    keys = dict.fromkeys(key for row in rows for key in row)
    return pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in keys})


def _is_missing(values: pd.Series) -> pd.Series:
    """Missing, or a text that means so."""
    missing = values.isna()
    if values.dtype == object:
        missing |= values.isin(NULLS)
    return missing


def _typed(values: pd.Series, kind: FeatureType) -> tuple[pd.Series, pd.Series]:
    """The values in the log's type for `kind`, and which were given but are not of it."""
    given = ~_is_missing(values)
    if kind is FeatureType.NUMERIC:
        typed = _numbers(values)
        return typed, given & typed.isna() & ~_is_nan_text(values)
    if kind is FeatureType.DATETIME:
        typed = _parse_times(values)
        return typed, given & typed.isna()
    if kind is FeatureType.BOOLEAN:
        names = _names(values).str.lower()
        typed = pd.Series(pd.NA, index=values.index, dtype="boolean")
        typed[names.isin(_TRUE)] = True
        typed[names.isin(_FALSE)] = False
        return typed, given & typed.isna()
    return _names(values), pd.Series(False, index=values.index)


def _numbers(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(np.nan, index=values.index)
    numbers = pd.to_numeric(values, errors="coerce") if values.dtype == object else values
    try:
        return pd.Series(numbers.to_numpy(dtype=np.float64, na_value=np.nan), index=values.index)
    except (TypeError, ValueError):  # a category, a period: nothing that is a number
        return pd.Series(pd.to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64), index=values.index)


def _is_nan_text(values: pd.Series) -> pd.Series:
    """Texts such as "-NaN" that are numbers and missing at once."""
    if values.dtype != object:
        return pd.Series(False, index=values.index)
    return values.map(lambda value: isinstance(value, str) and value.strip().lower().lstrip("+-") == "nan").astype(bool)


def _names(values: pd.Series) -> pd.Series:
    """Values as text, one form whatever file they came from: 3, 3.0 and "3.0" are "3"; None where missing."""

    def name(value: Any) -> str | None:
        if isinstance(value, str):
            head = value[:-2]
            return head if value.endswith(".0") and head.lstrip("-").isdigit() else value
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        return str(value)

    codes, levels = pd.factorize(values.astype(object), use_na_sentinel=True)
    named = np.array([None if level in NULLS else name(level) for level in levels] + [None], dtype=object)
    return pd.Series(named[codes], index=values.index, dtype=object)


def _parse_times(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(pd.to_datetime(values, utc=True).astype(TIME), index=values.index)
    if pd.api.types.is_numeric_dtype(values.dtype) and not values.isna().all():
        return pd.Series(pd.NaT, index=values.index, dtype=TIME)  # seconds or milliseconds? not for us to guess
    texts = values.map(lambda value: value if isinstance(value, str) or hasattr(value, "isoformat") else None)
    parsed = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    return pd.Series(parsed.astype(TIME), index=values.index)


def _times(values: pd.Series, source: str, *, required: bool) -> pd.Series:
    times = _parse_times(values)
    bad = times.isna() if required else times.isna() & ~_is_missing(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        value = values.iloc[row]
        shown = "is empty" if pd.isna(value) else f"{value!r} is not a time in ISO 8601"
        raise DataError(
            f"{source}: column {values.name!r}, row {row + 1}: {shown}; "
            f"write times such as 2026-01-31T08:00:00Z ({int(bad.sum())} such rows)."
        )
    return times


def _outcome(frame: pd.DataFrame, column: str | None, spec: ModelSpec, source: str) -> pd.Series:
    """Predictions or labels: class names, or numbers for regression; missing where the column is absent."""
    if column is None or column not in frame:
        kind: Any = np.float64 if spec.task is Task.REGRESSION else object
        return pd.Series(np.nan if kind is np.float64 else None, index=frame.index, dtype=kind)
    values = frame[column]
    if spec.task is Task.REGRESSION:
        numbers, bad = _typed(values, FeatureType.NUMERIC)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(f"{source}: column {column!r}, row {row + 1}: {values.iloc[row]!r} is not a number.")
        return numbers
    missing = _is_missing(values)
    names = pd.Series(as_class(values.astype(object).where(~missing, None)).astype(object), index=frame.index)
    return names.where(~missing, None)


def _given_ids(frame: pd.DataFrame, source: str) -> pd.Series:
    ids = _names(frame["prediction_id"])
    if ids.isna().any():
        row = int(np.flatnonzero(ids.isna())[0])
        raise DataError(f"{source}: column 'prediction_id', row {row + 1}: is empty; every row needs an id, or none.")
    return ids


def _ids(frame: pd.DataFrame, out: pd.DataFrame, spec: ModelSpec, source: str, *, strict: bool) -> pd.Series:
    if "prediction_id" not in frame:
        return _made_ids(out, spec)
    ids = _given_ids(frame, source)
    if strict:
        _refuse_repeats(pd.DataFrame({"prediction_id": ids}), ["prediction_id"], source, "each prediction once")
    return ids


def _refuse_repeats(frame: pd.DataFrame, keys: list[str], source: str, rule: str) -> None:
    repeated = frame.duplicated(keys)
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        first = frame["prediction_id"].iloc[row]
        raise DataError(
            f"{source}: {int(repeated.sum())} prediction ids stand more than once, the first is {first!r} "
            f"(row {row + 1}); give {rule}."
        )


def _made_ids(out: pd.DataFrame, spec: ModelSpec) -> pd.Series:
    """Ids (UUIDs of version 5) from content: model, time, values, and the how-manieth such row it is.

    Labels are no part of it, so that a file read again once they are known has the ids that it had.
    """
    numeric = out.select_dtypes("number").columns
    numbers = out[numeric].to_numpy("<f8") + 0.0  # one zero
    numbers[np.isnan(numbers)] = np.nan  # one NaN
    texts = [out[column].astype(object).where(out[column].notna(), "").map(str) for column in out.columns.drop(numeric)]
    start = hashlib.sha1(_NAMESPACE.bytes + spec.name.encode(), usedforsecurity=False)
    seen: dict[bytes, int] = {}
    ids = []
    for values, *words in zip(numbers, *texts, strict=True):
        row = values.tobytes() + "\x1f".join(words).encode()
        ordinal = seen[row] = seen.get(row, -1) + 1
        made = start.copy()
        made.update(b"%d\x1f" % ordinal + row)
        ids.append(str(uuid.UUID(bytes=made.digest()[:16], version=5)))
    return pd.Series(ids, index=out.index, dtype=object)
