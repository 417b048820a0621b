"""Real streams in their own order, with nothing injected: what happened is what happened.

The truth is by outcome: retraining is right where the following rows gain more than half the tolerance by it and the
model is harmed; elsewhere nothing needs to be done. In between (gain without harm, or little of either) both are right.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.incidents.faults import Incident
from benchmarks.incidents.worlds import DATA, _spec
from ml.diagnosis.causes import Act, Cause
from ml.models import recipes
from ml.spec import ModelSpec

_CALM = {Act.NO_ACTION, Act.WAIT_FOR_LABELS, Act.REFRESH_REFERENCE}
_CHANGE = {
    Cause.CONCEPT_DRIFT_SUDDEN, Cause.CONCEPT_DRIFT_GRADUAL, Cause.SEASONAL, Cause.HARMFUL_COVARIATE_SHIFT,
    Cause.SEGMENT_SHIFT,
}  # fmt: skip


def bike_stream() -> tuple[ModelSpec, pd.DataFrame]:
    raw = pd.read_csv(DATA / "bikeshare_2011.csv")
    raw["label"] = raw["bikers"].astype(float)
    raw["timestamp"] = pd.Timestamp("2011-01-01", tz="UTC") + pd.to_timedelta(
        (raw["day"] - 1) * 24 + raw["hr"], unit="h"
    )
    kinds = {
        "season": "categorical", "mnth": "categorical", "hr": "numeric", "weekday": "categorical",
        "workingday": "categorical", "weathersit": "categorical", "temp": "numeric", "atemp": "numeric",
        "hum": "numeric", "windspeed": "numeric",
    }  # fmt: skip
    return _spec("bike-days", "regression", kinds), raw.assign(batch_size=100.0)


def rain_stream() -> tuple[ModelSpec, pd.DataFrame]:
    raw = pd.read_csv(DATA / "rainfall_noaa.csv")
    raw.columns = [c.replace(" ", "_").replace("-", "_") for c in raw.columns]
    raw["label"] = raw["rain"].astype(int)
    raw["timestamp"] = pd.date_range("1960-01-01", periods=len(raw), freq="D", tz="UTC")
    kinds = {c: "numeric" for c in raw.columns if c not in ("rain", "label", "timestamp")}
    return _spec("rain-days", "binary", kinds), raw.assign(batch_size=100.0)


def windows() -> Iterator[Incident]:
    """Bike: every three weeks, models of one, two and four months. Rain: every year and a half, two models."""
    spec, rows = bike_stream()
    for begin, train, held in ((0, 1000, 350), (1400, 1400, 500), (3000, 2500, 700)):
        yield from _walk("bike-days", spec, rows, begin, train, held, size=500, after=300, step=500)
    spec, rows = rain_stream()
    for begin, train, held in ((0, 3000, 1500), (5000, 3000, 1500)):
        for size in (500, 1000):
            yield from _walk("rain-days", spec, rows, begin, train, held, size=size, after=700, step=700)


def _walk(
    name: str,
    spec: ModelSpec,
    rows: pd.DataFrame,
    begin: int,
    train: int,
    held: int,
    *,
    size: int,
    after: int,
    step: int,
) -> Iterator[Incident]:
    model = recipes.fit(spec, rows.iloc[begin : begin + train]).with_version("1")

    def serve(frame: pd.DataFrame) -> pd.DataFrame:
        out = model.predict(frame)
        return frame.assign(
            prediction=out["prediction"].to_numpy(),
            score=out["score"].to_numpy(),
            model_version="1",
            label_timestamp=frame["timestamp"],
        ).reset_index(drop=True)

    first = begin + train
    reference = serve(rows.iloc[first : first + held])
    for start in range(first + held, len(rows) - size - after, step):
        current, later = serve(rows.iloc[start : start + size]), serve(rows.iloc[start + size : start + size + after])
        yield Incident(
            "natural", name, True, "full", size, start, spec, reference, reference.iloc[:0], current, later,
            later, model, as_of=current["timestamp"].iloc[-1].to_pydatetime(), causes=set(_CHANGE), acts={Act.RETRAIN},
        )  # fmt: skip


def settle(case: Incident, loss: dict[Act, float], base: np.ndarray) -> None:
    """Put the truth by outcome into the case."""
    tolerance = 0.1 * float(base.std())
    from ml.metrics import row_loss

    harm = max(float(row_loss(case.spec, case.current).mean()), loss[Act.NO_ACTION]) - float(base.mean())
    gain = loss[Act.NO_ACTION] - min(loss[Act.RETRAIN], loss[Act.RECALIBRATE])
    case.acts = set()
    if harm > tolerance and gain > tolerance / 2:
        case.acts |= {Act.RETRAIN}
        if loss[Act.NO_ACTION] - loss[Act.RECALIBRATE] > tolerance / 2:
            case.acts |= {Act.RECALIBRATE}
    if harm < 3 * tolerance or gain < 2 * tolerance:
        case.acts |= _CALM
        case.causes = {
            *case.causes,
            Cause.HEALTHY,
            Cause.HARMLESS_SHIFT,
            Cause.INSUFFICIENT_DATA,
            Cause.REFERENCE_STALE,
        }
    if "hum" in case.current and (case.current["hum"] == 0).any():  # 10 March 2011: the sensor was off, a real fault
        case.acts |= {Act.FIX_DATA}
        case.causes = {*case.causes, Cause.DATA_PIPELINE_FAULT}
    case.quiet = not case.acts & {Act.RETRAIN, Act.FIX_DATA}
