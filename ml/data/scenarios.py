"""Seeded streams from real data, and faults to put into them: what the demo, the tests and the benchmark replay.

A stream is plain rows: features, when they happened, the truth, and when the truth becomes known. Who scores them, and
with which version, is the caller's. A fault is a function from rows to rows; nothing else about the rows changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.datasets import load, sample_spec
from ml.errors import DataError, InvalidInput
from ml.results import utc
from ml.spec import ModelSpec

MMOL_PER_MG = 1 / 38.67  # cholesterol: mmol/L from mg/dL
_JITTER = {"age": 0.5, "trestbps": 2.0, "chol": 3.0, "thalch": 2.0, "oldpeak": 0.05}


@dataclass(frozen=True, slots=True)
class Stream:
    """past: labelled rows that the first version is trained on. live: what arrives afterwards, in order of time.

    Columns of both: prediction_id, timestamp, the entity where there is one, the spec's features, label,
    label_timestamp (timestamp + the spec's label_delay).
    """

    spec: ModelSpec
    past: pd.DataFrame
    live: pd.DataFrame


def bike_demand() -> Stream:
    """January and February 2011 are the past; March to December, hour by hour, are live."""
    return _cut("bike-demand", datetime(2011, 3, 1, tzinfo=UTC))


def rainfall(*, trained_until: datetime = datetime(1979, 1, 1, tzinfo=UTC), years: int = 10) -> Stream:
    """A row a day, `years` of past before `trained_until`; dew point changes its meaning about three years later."""
    return _cut("rainfall", trained_until, years)


def heart_disease(
    *,
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    past_days: int = 60,
    live_days: int = 60,
    per_day: int = 48,
    seed: int = 0,
) -> Stream:
    """A steady stream of patients of the four hospitals, live from `start`.

    The 920 patients are split in two halves within each hospital. The first half makes the part of the past that is
    trained on; the second half makes its held-out part and everything live, so that no model is measured on patients
    that it was fitted on. Rows are drawn with replacement, with a small jitter on measured values; `patient` is the
    entity.
    """
    spec = sample_spec("heart-disease")
    rng = np.random.default_rng(seed)
    patients = load("heart-disease")
    order = patients.sample(frac=1, random_state=int(rng.integers(2**31)))
    second_half = order.groupby("hospital").cumcount() % 2 == 1
    fitted_on, met_later = order[~second_half], order[second_half]
    held_out = round(past_days * per_day * spec.training.holdout)
    rows = pd.concat(
        [
            _draw(fitted_on, past_days * per_day - held_out, rng),
            _draw(met_later, held_out + live_days * per_day, rng),
        ],
        ignore_index=True,
    )
    steps = pd.to_timedelta((np.arange(len(rows)) - past_days * per_day) * 86_400 // per_day, unit="s")
    rows = _stamped(spec, rows.assign(timestamp=(pd.Timestamp(utc(start)) + steps).astype("datetime64[us, UTC]")))
    past = rows["timestamp"] < pd.Timestamp(utc(start))
    return Stream(spec, rows[past].reset_index(drop=True), rows[~past].reset_index(drop=True))


def unit_fault(
    frame: pd.DataFrame,
    feature: str,
    factor: float,
    *,
    onset: datetime | None = None,
    segment: tuple[str, str] | None = None,
    offset: float = 0.0,
) -> pd.DataFrame:
    """From `onset`, in the rows of `segment` (column, value), `feature` arrives as factor * value + offset."""
    hit = _affected(frame, onset, segment, feature)
    return _with(frame, feature, hit, frame[feature].astype(np.float64) * factor + offset)


def shift(
    frame: pd.DataFrame,
    feature: str,
    amount: float,
    *,
    onset: datetime | None = None,
    segment: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """From `onset`, `feature` is higher by `amount`, in its own unit."""
    return unit_fault(frame, feature, 1.0, onset=onset, segment=segment, offset=amount)


def swap_columns(
    frame: pd.DataFrame,
    first: str,
    second: str,
    *,
    onset: datetime | None = None,
    segment: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """Two columns change places. On training rows this makes a version that was fitted on a wrong column order."""
    hit = _affected(frame, onset, segment, first, second)
    return _with(_with(frame, first, hit, frame[second]), second, hit, frame[first])


def sentinel(
    frame: pd.DataFrame,
    feature: str,
    value: float | str | None,
    *,
    share: float = 1.0,
    onset: datetime | None = None,
    segment: tuple[str, str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """From `onset`, a share of the values arrives as `value` (-999, 0, a default; None: missing)."""
    chosen = np.random.default_rng(seed).random(len(frame)) < share
    hit = _affected(frame, onset, segment, feature) & chosen
    column = pd.Series([value] * len(frame), index=frame.index)
    return _with(frame, feature, hit, column.astype(frame[feature].dtype) if value is not None else column)


def rename_category(
    frame: pd.DataFrame, feature: str, names: dict[str, str], *, onset: datetime | None = None
) -> pd.DataFrame:
    """From `onset`, categories arrive under other names."""
    return _with(frame, feature, _affected(frame, onset, None, feature), frame[feature].replace(names))


def stale(frame: pd.DataFrame, feature: str, *, lag: int, onset: datetime | None = None) -> pd.DataFrame:
    """From `onset`, `feature` is the one of `lag` rows before."""
    hit = _affected(frame, onset, None, feature)
    hit[:lag] = False
    return _with(frame, feature, hit, frame[feature].shift(lag))


def _cut(name: str, at: datetime, years: int | None = None) -> Stream:
    spec = sample_spec(name)
    rows = _stamped(spec, load(name))
    moment = pd.Timestamp(utc(at))
    past, live = rows[rows["timestamp"] < moment], rows[rows["timestamp"] >= moment]
    if years is not None:
        past = past[past["timestamp"] >= moment - pd.DateOffset(years=years)]
    return Stream(spec, past.reset_index(drop=True), live.reset_index(drop=True))


def _stamped(spec: ModelSpec, rows: pd.DataFrame) -> pd.DataFrame:
    ids = [f"{spec.name}-{number:06d}" for number in range(len(rows))]
    rows = rows.assign(label_timestamp=rows["timestamp"] + spec.label_delay)
    rows.insert(0, "prediction_id", ids)
    return rows


def _draw(patients: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = patients.iloc[rng.integers(0, len(patients), count)].reset_index(drop=True)
    for name, spread in _JITTER.items():
        digits = 1 if name == "oldpeak" else 0
        rows[name] = (rows[name] + rng.normal(0, spread, count)).round(digits)
    return rows


def _affected(
    frame: pd.DataFrame, onset: datetime | None, segment: tuple[str, str] | None, *features: str
) -> npt.NDArray[np.bool_]:
    for name in features:
        if name not in frame:
            raise InvalidInput(f"The rows have no column {name!r} to put a fault into.")
    hit = np.ones(len(frame), dtype=bool)
    if onset is not None:
        hit &= (frame["timestamp"] >= pd.Timestamp(utc(onset))).to_numpy()
    if segment is not None:
        column, value = segment
        inside = (frame[column] == value).to_numpy()
        if not inside.any():
            raise DataError(f"No row has {column} = {value!r}; name a value that occurs.")
        hit &= inside
    return hit


def _with(frame: pd.DataFrame, feature: str, hit: npt.NDArray[np.bool_], values: pd.Series) -> pd.DataFrame:
    """A copy with `values` where `hit`, the column's type kept where it can hold them."""
    return frame.assign(**{feature: frame[feature].where(~hit, values)})
