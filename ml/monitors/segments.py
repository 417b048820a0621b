"""The loss of each segment that the spec names: a failure of a few must not drown in the mean of all."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from ml.metrics import labelled, row_loss
from ml.monitors.maturity import maturity
from ml.monitors.performance import default_tolerance, design_effect, finite
from ml.results import Interval, Measurement, Status, Window, utc
from ml.spec import ModelSpec, Task

MONITOR = "performance.segment"
MIN_ROWS = 30
MOST_LEVELS = 20


def by_segment(
    spec: ModelSpec,
    current: pd.DataFrame,
    *,
    window: Window,
    reference: pd.DataFrame | None,
    as_of: datetime,
    alpha: float = 0.05,
) -> list[Measurement]:
    """`performance.segment` for every level (the 20 commonest) of every column in `spec.segments`: its mean loss less
    its own in the reference. It breaches where the lower bound passes the tolerance; the bound is that of `alpha`
    (two-sided) shared by all levels. `no_data` with fewer than 30 labelled rows now or in the reference.
    """
    if not spec.segments or reference is None:
        return []
    known = pd.to_datetime(current["label_timestamp"], utc=True) if "label_timestamp" in current else None
    if known is not None:
        current = current.assign(label=current["label"].where(~(known > pd.Timestamp(utc(as_of)))))
    current = current.sort_values("timestamp", kind="stable").reset_index(drop=True)
    ripe = maturity(spec, reference, current, utc(as_of))
    rows, healthy = (_comparable(spec, frame) for frame in (current[ripe.usable], reference))
    if spec.task is Task.BINARY and not all(len(f) and f["score"].notna().all() for f in (rows, healthy)):
        rows, healthy = rows.assign(score=np.nan), healthy.assign(score=np.nan)
    named = [(c, level) for c in spec.segments if c in rows and c in healthy for level in _levels(healthy[c])]
    if not named or len(healthy) == 0:
        return []
    from scipy.special import ndtri

    usual = row_loss(spec, healthy)
    now = row_loss(spec, rows) if len(rows) else np.empty(0)
    tolerance = spec.tolerance or default_tolerance(usual)
    z = float(-ndtri(alpha / (2 * len(named))))
    out = []
    for column, level in named:
        mine = now[(rows[column].astype(str) == level).to_numpy()] if len(rows) else now
        before = usual[(healthy[column].astype(str) == level).to_numpy()]
        segment = f"{column}={level}"
        if min(len(mine), len(before)) < MIN_ROWS:
            detail = f"{segment}: {len(mine)} labelled rows against {len(before)} in the reference; {MIN_ROWS} of each "
            out.append(
                Measurement(
                    MONITOR, window, None, len(mine), Status.NO_DATA, segment=segment, detail=detail + "are needed."
                )
            )
            continue
        difference = float(mine.mean() - before.mean())
        variance = max(float(mine.var()), float(before.var()) / 4) * max(design_effect(mine, 4), 1) / len(mine)
        error = float(np.sqrt(variance + float(before.var()) * design_effect(before) / len(before)))
        breach = difference - z * error > tolerance
        out.append(
            Measurement(
                MONITOR,
                window,
                difference,
                len(mine),
                Status.BREACH if breach else Status.OK,
                segment=segment,
                interval=Interval(difference - 1.96 * error, difference + 1.96 * error),
                unit="loss",
                threshold=tolerance,
                detail=f"{segment}: mean loss {mine.mean():.4g} against {before.mean():.4g} in the reference.",
                facts={"current": float(mine.mean()), "reference": float(before.mean()), "bound_z": z},
            )
        )
    return out


def _comparable(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    rows = labelled(frame)
    if spec.task is Task.REGRESSION:
        rows = labelled(rows.assign(label=finite(rows["label"]), prediction=finite(rows["prediction"])))
    return rows if "score" in rows else rows.assign(score=np.nan)


def _levels(column: pd.Series) -> list[str]:
    return [str(level) for level in column.dropna().astype(str).value_counts().head(MOST_LEVELS).index]
