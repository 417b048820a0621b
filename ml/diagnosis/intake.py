"""Frames as a diagnosis can use them: typed, in order of time, once each, and nothing from the future.

A bad column or row never ends a diagnosis: it is set aside and named in `not_checked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from ml.results import Window, utc
from ml.spec import FeatureType, ModelSpec


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Something a diagnosis would have looked at and could not, and why."""

    what: str
    why: str

    def to_json(self) -> dict[str, str]:
        return {"what": self.what, "why": self.why}


@dataclass(frozen=True, slots=True)
class Frames:
    """What is diagnosed. `odd` has, per numeric column of the current frame, the share of values that are no numbers;
    `vanished` the features that the current frame lacks; `clock` is False where rows have no times."""

    reference: pd.DataFrame
    current: pd.DataFrame
    history: pd.DataFrame
    deployments: pd.DataFrame
    as_of: datetime | None
    odd: dict[str, float]
    vanished: tuple[str, ...]
    clock: bool
    notes: tuple[NotChecked, ...]


def take_in(
    spec: ModelSpec,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    history: pd.DataFrame | None,
    deployments: pd.DataFrame | None,
    as_of: datetime | None,
    window: Window | None,
) -> Frames:
    """Clean copies of all frames; the originals are left alone."""
    notes: list[NotChecked] = []
    odd: dict[str, float] = {}
    ref, _ = _clean(spec, reference, "reference", notes, {})
    cur, clock = _clean(spec, current, "current", notes, odd)
    old = ref.iloc[0:0] if history is None else _clean(spec, history, "history", notes, {})[0]
    vanished = tuple(name for name in spec.features if name not in current and name in reference)
    if window is not None and clock:
        cur = cur[(cur["timestamp"] >= window.start) & (cur["timestamp"] < window.end)].reset_index(drop=True)
    moment = utc(as_of) if as_of is not None else None
    if moment is None and clock and len(cur):
        moment = cur["timestamp"].max().to_pydatetime()
        if cur["label_timestamp"].notna().any():
            moment = max(moment, cur["label_timestamp"].max().to_pydatetime())
    elif moment is not None and clock:
        late = cur["timestamp"] > moment
        if late.any():
            notes.append(
                NotChecked(
                    "rows of the future",
                    f"{int(late.sum())} current rows are later than {moment:%Y-%m-%d %H:%M} UTC and were left out",
                )
            )
            cur = cur[~late].reset_index(drop=True)
        unknown = cur["label_timestamp"] > moment
        cur.loc[unknown, "label"] = None
    table = _deployments(deployments, notes)
    return Frames(ref, cur, old, table, moment, odd, vanished, clock, tuple(notes))


def _clean(
    spec: ModelSpec, frame: pd.DataFrame, name: str, notes: list[NotChecked], odd: dict[str, float]
) -> tuple[pd.DataFrame, bool]:
    frame = frame.loc[:, ~frame.columns.duplicated()].copy()
    for column, (count, _, value) in frame.attrs.get("invalid", {}).items():
        odd[column] = count / max(len(frame), 1)
        notes.append(
            NotChecked(
                f"{count} values of {column!r} in the {name} rows",
                f"they are not of the column's type, such as {value!r}",
            )
        )
    frame.attrs = {}
    if "label" not in frame and spec.target in frame:
        frame = frame.rename(columns={spec.target: "label"})
    if "timestamp" not in frame and spec.timestamp in frame:
        frame = frame.rename(columns={spec.timestamp: "timestamp"})
    clock = "timestamp" in frame
    if clock:
        frame["timestamp"] = pd.to_datetime(
            frame["timestamp"], utc=True, errors="coerce", format=None if not _mixed(frame["timestamp"]) else "mixed"
        ).astype("datetime64[us, UTC]")
        lost = frame["timestamp"].isna()
        if lost.any():
            notes.append(NotChecked(f"{int(lost.sum())} {name} rows", "their timestamp cannot be read"))
            frame = frame[~lost]
        frame = frame.sort_values("timestamp", kind="stable")
        clock = len(frame) > 0
    else:
        frame["timestamp"] = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]")
        notes.append(
            NotChecked(f"times of the {name} rows", "there is no timestamp column; rows are taken in the order given")
        )
    if "prediction_id" in frame and frame["prediction_id"].notna().all():
        twice = frame["prediction_id"].duplicated(keep="last")
        if twice.any():
            notes.append(
                NotChecked(
                    f"{int(twice.sum())} {name} rows", "their prediction_id occurs again; the last of each was kept"
                )
            )
            frame = frame[~twice]
    frame = frame.reset_index(drop=True)
    for column in ("prediction", "score", "model_version", "label"):
        if column not in frame:
            frame[column] = None
    frame["score"] = pd.to_numeric(frame["score"], errors="coerce").astype(np.float64)
    if spec.task.value == "regression":
        for column in ("prediction", "label"):
            frame[column] = _number(frame[column])
    frame["model_version"] = frame["model_version"].map(_version, na_action="ignore").replace("", None)
    frame["label_timestamp"] = (
        pd.to_datetime(frame["label_timestamp"], utc=True, errors="coerce").astype("datetime64[us, UTC]")
        if "label_timestamp" in frame
        else pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]")
    )
    for feature, rule in spec.features.items():
        if feature not in frame:
            if name != "history" or len(frame):
                notes.append(NotChecked(f"feature {feature!r}", f"the {name} rows do not have it"))
            frame[feature] = np.nan if rule.type is FeatureType.NUMERIC else None
        elif rule.type is FeatureType.NUMERIC:
            raw = frame[feature]
            number = _number(raw)
            broken = float((raw.notna() & number.isna()).mean()) if len(raw) else 0.0
            if broken > 0:
                odd[feature] = broken
                notes.append(
                    NotChecked(
                        f"{broken:.1%} of {feature!r} in the {name} rows",
                        "these values are no finite numbers; they count as missing",
                    )
                )
            frame[feature] = number
        elif rule.type is FeatureType.DATETIME:
            frame[feature] = pd.to_datetime(frame[feature], utc=True, errors="coerce")
        elif rule.type is FeatureType.BOOLEAN:
            frame[feature] = frame[feature].map(_truth, na_action="ignore").astype(object)
        else:
            frame[feature] = frame[feature].map(_text, na_action="ignore").astype(object)
    return frame, clock


def _mixed(column: pd.Series) -> bool:
    return bool(column.dtype == object)


def _number(column: pd.Series) -> pd.Series:
    number = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return number.where(np.isfinite(number))


def _version(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _truth(value: object) -> object:
    if isinstance(value, str):
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.strip().lower()
        )
    return bool(value)


def _deployments(table: pd.DataFrame | None, notes: list[NotChecked]) -> pd.DataFrame:
    columns = ["timestamp", "version", "kind", "note"]
    if table is None or len(table) == 0:
        return pd.DataFrame(
            {c: pd.Series(dtype="datetime64[us, UTC]" if c == "timestamp" else object) for c in columns}
        )
    if missing := [c for c in ("timestamp", "version") if c not in table]:
        notes.append(NotChecked("the deployments", f"their table lacks the column {missing[0]!r}"))
        return _deployments(None, notes)
    table = table.copy()
    table["timestamp"] = pd.to_datetime(table["timestamp"], utc=True, errors="coerce").astype("datetime64[us, UTC]")
    table["version"] = table["version"].map(_version)
    for column in ("kind", "note"):
        if column not in table:
            table[column] = ""
    return table.dropna(subset=["timestamp"]).sort_values("timestamp").reset_index(drop=True)[columns]
