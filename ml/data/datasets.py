"""The three real data sets that are shipped, as labelled rows in order of time, each with its model spec.

Sources, licences and what was read differently stand beside the files in `ml/data/samples/README.md`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from ml.errors import NotFound
from ml.spec import ModelSpec, load_spec

NAMES = ("bike-demand", "heart-disease", "rainfall")


def spec_path(name: str) -> Path:
    """The shipped spec file. Raises: NotFound."""
    if name not in NAMES:
        raise NotFound(f"There is no sample {name!r}; the samples are {', '.join(NAMES)}.")
    return _folder() / f"{name}.yaml"


def sample_spec(name: str) -> ModelSpec:
    """The shipped spec. Raises: NotFound."""
    return load_spec(spec_path(name))


def load(name: str) -> pd.DataFrame:
    """Columns: the spec's features, `timestamp` (UTC; heart-disease has none), `label`, the entity if there is one.

    Raises: NotFound.
    """
    spec = sample_spec(name)
    frame = {"bike-demand": _bikes, "heart-disease": _patients, "rainfall": _rain}[name]()
    first = [column for column in ("timestamp", spec.entity) if column in frame]
    return frame.loc[:, [*first, *spec.features, "label"]]


def _folder() -> Path:
    return Path(str(files("ml.data") / "samples"))


def _bikes() -> pd.DataFrame:
    frame = pd.read_csv(_folder() / "bikeshare_2011.csv")
    hours = pd.to_timedelta((frame["day"] - 1) * 24 + frame["hr"], unit="h")
    return frame.assign(
        timestamp=(pd.Timestamp("2011-01-01", tz="UTC") + hours).astype("datetime64[us, UTC]"),
        hr=frame["hr"].astype(np.float64),
        weekday=frame["weekday"].astype(str),
        season=frame["season"].astype(str),
        workingday=frame["workingday"] == 1,
        holiday=frame["holiday"] == 1,
        label=frame["bikers"].astype(np.float64),
    )


def _patients() -> pd.DataFrame:
    frame = pd.read_csv(_folder() / "heart_disease_uci.csv").rename(columns={"id": "patient", "dataset": "hospital"})
    return frame.assign(
        patient=frame["patient"].astype(str),
        age=frame["age"].astype(np.float64),
        chol=frame["chol"].replace(0.0, np.nan),
        trestbps=frame["trestbps"].replace(0.0, np.nan),
        label=(frame["num"] > 0).astype(np.int64),
    )


def _rain() -> pd.DataFrame:
    frame = pd.read_csv(_folder() / "rainfall_noaa.csv")
    frame.columns = [column.replace(" ", "_").replace("-", "_") for column in frame.columns]
    days = pd.to_timedelta(np.arange(len(frame)), unit="D")
    moments = (pd.Timestamp("1949-01-01", tz="UTC") + days).astype("datetime64[us, UTC]")
    return frame.assign(timestamp=moments, label=frame["rain"].astype(np.int64))
