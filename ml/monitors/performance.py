"""Performance with labels: the headline metric, the mean row loss against the reference, and whether labels suffice.

What decides is the loss, because it is a mean over rows: it has an interval, a tolerance and a needed sample size. A
breach needs the lower bound to pass the tolerance, so that a noisy week is not an incident.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from ml.metrics import Floats, labelled, metric_interval, probability, row_loss
from ml.monitors.maturity import Maturity, maturity
from ml.results import Interval, Measurement, Status, Window, utc
from ml.spec import ModelSpec, Task

MIN_ROWS = 10
Z = 1.96
Z_POWER = 1.645 + 0.842


def design_effect(loss: Floats, pieces: int = 1) -> float:
    """How many times the variance of a mean exceeds that of independent rows; at least 1 (1 below 40 rows).

    Rows in order of time; levels of `pieces` equal parts are taken out first, so that a step does not count as noise.
    Source: Newey and West (1987), Bartlett weights, 2 n^(1/3) lags.

    >>> rng = np.random.default_rng(0)
    >>> design_effect(rng.normal(size=500))
    1.0
    >>> design_effect(np.repeat(rng.normal(size=50), 10)) > 4
    True
    """
    n = len(loss)
    if n < 40:
        return 1.0
    rest = np.concatenate([part - part.mean() for part in np.array_split(loss, pieces)])
    variance = float((rest**2).mean())
    if variance <= 0:
        return 1.0
    lags = min(int(2 * n ** (1 / 3)), n // 4)
    total = 1.0
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float((rest[lag:] * rest[:-lag]).mean()) / variance
    return 1.0 if total < 1 + 2.0 * lags / np.sqrt(n) else total


def default_tolerance(baseline: Floats) -> float:
    """A tenth of the standard deviation of the healthy row loss: less than people notice, more than rounding."""
    return max(0.1 * float(np.std(baseline)), 1e-6) if len(baseline) else 1e-6


class Healthy:
    """The labelled rows of a reference, and what they say of each metric and of the loss: worked out once."""

    def __init__(self, spec: ModelSpec, reference: pd.DataFrame) -> None:
        self.spec, self.frame = spec, reference
        rows = labelled(reference)
        if spec.task is Task.REGRESSION:
            rows = labelled(rows.assign(label=finite(rows["label"]), prediction=finite(rows["prediction"])))
        self.rows = rows
        self._metrics: dict[str, tuple[float, Interval | None]] = {}

    @cached_property
    def scored(self) -> bool:
        return probability(self.spec, self.rows) is not None

    @cached_property
    def loss(self) -> Floats:
        return row_loss(self.spec, self.rows)

    @cached_property
    def needed(self) -> int:
        """Labels that show a rise of the mean loss by the tolerance; 0 where there are too few to say."""
        return needed_labels(self.spec, self.loss) if len(self.rows) >= MIN_ROWS else 0

    @cached_property
    def unscored(self) -> Healthy:
        """The same without scores, to compare with rows that have none."""
        return Healthy(self.spec, self.rows.assign(score=np.nan))

    def metric(self, name: str) -> tuple[float, Interval | None]:
        if name not in self._metrics:
            self._metrics[name] = metric_interval(self.spec, self.rows, name)
        return self._metrics[name]


def performance(
    spec: ModelSpec,
    current: pd.DataFrame,
    *,
    window: Window,
    reference: pd.DataFrame | Healthy | None,
    as_of: datetime,
) -> list[Measurement]:
    """`performance.labels`, `performance.<metric>`, `performance.recall` (binary) and `performance.loss` of a window.

    current: log rows of the window; only labels known at `as_of` count. reference: healthy labelled rows; without them
    the metric is reported without a threshold and the loss is `no_data`.
    """
    frame = current
    if "label_timestamp" in frame and "label" in frame:
        known = pd.to_datetime(frame["label_timestamp"], utc=True, errors="coerce")
        frame = frame.assign(label=frame["label"].where(~(known > pd.Timestamp(utc(as_of)))))
    if missing := [c for c in ("timestamp", "prediction", "label") if c not in frame]:
        for column in missing:
            frame = frame.assign(**{column: pd.Series(pd.NaT if column == "timestamp" else None, index=frame.index)})
    frame = frame.sort_values("timestamp", kind="stable").reset_index(drop=True)
    if spec.task is Task.REGRESSION:
        frame = frame.assign(label=finite(frame["label"]), prediction=finite(frame["prediction"]))
    healthy = Healthy(spec, reference) if isinstance(reference, pd.DataFrame) else reference
    ripe = maturity(spec, None if healthy is None else healthy.frame, frame, utc(as_of))
    rows = frame[ripe.usable]
    if healthy is not None and spec.task is Task.BINARY and len(rows):
        if healthy.scored != (probability(spec, rows) is not None):
            healthy, rows = healthy.unscored, rows.assign(score=np.nan)
    out = [_labels(window, len(frame), ripe, len(rows), 0 if healthy is None else healthy.needed)]
    names = [spec.metric, *(["recall"] if spec.task is Task.BINARY and spec.metric != "recall" else [])]
    out += [_metric(spec, name, window, rows, healthy) for name in names]
    return [*out, _loss(spec, window, rows, healthy)]


def finite(column: pd.Series) -> pd.Series:
    """Numbers, or NaN for whatever is none."""
    number = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return number.where(np.isfinite(number))


def needed_labels(spec: ModelSpec, baseline: Floats) -> int:
    """Labels that show, four times in five, a rise of the mean loss by the tolerance."""
    bound = spec.tolerance or default_tolerance(baseline)
    return int(np.ceil((Z_POWER * float(np.std(baseline)) / bound) ** 2 * design_effect(baseline)))


def _labels(window: Window, rows: int, ripe: Maturity, usable: int, needed: int) -> Measurement:
    facts: dict[str, object] = {
        "usable": usable,
        "mature": ripe.mature,
        "needed": needed,
        "usual_coverage": ripe.usual,
        "due": ripe.due.isoformat() if ripe.due else None,
    }
    if ripe.mature == 0:
        why = "no rows" if rows == 0 else "no row is old enough to have its label"
        why += f"; the first labels are due {ripe.due:%Y-%m-%d %H:%M} UTC" if ripe.due else ""
        return Measurement("performance.labels", window, None, 0, Status.NO_DATA, detail=f"{why}.", facts=facts)
    detail = f"{ripe.coverage:.0%} of {ripe.mature} rows that are old enough have a label ({ripe.usual:.0%} is usual)"
    detail += f"; {needed} show a change of the tolerance." if needed else "."
    return Measurement(
        "performance.labels",
        window,
        ripe.coverage,
        ripe.mature,
        Status.BREACH if ripe.overdue else Status.OK,
        unit="share",
        threshold=0.5 * ripe.usual,
        detail=detail,
        facts=facts,
    )


def _metric(spec: ModelSpec, name: str, window: Window, rows: pd.DataFrame, healthy: Healthy | None) -> Measurement:
    monitor = f"performance.{name}"
    if len(rows) < MIN_ROWS:
        detail = f"{len(rows)} rows have their label by now; {MIN_ROWS} are needed."
        facts: dict[str, object] = {"needed": MIN_ROWS}
        return Measurement(monitor, window, None, len(rows), Status.NO_DATA, detail=detail, facts=facts)
    value, interval = metric_interval(spec, rows, name)
    if not np.isfinite(value):
        detail = f"{name} is not defined on these labels (one class only, or no positive)."
        return Measurement(monitor, window, None, len(rows), Status.NO_DATA, detail=detail)
    threshold, status, detail = None, Status.OK, f"{name} {value:.4g} on {len(rows)} labelled rows"
    if healthy is not None and len(healthy.rows) >= MIN_ROWS:
        usual, band = healthy.metric(name)
        if band is not None and np.isfinite(usual):
            higher = name not in ("mae", "rmse", "log_loss", "brier")
            threshold = band.low if higher else band.high
            if interval is not None and (interval.high < threshold if higher else interval.low > threshold):
                status = Status.BREACH
            detail += f", {usual:.4g} in the reference"
    return Measurement(
        monitor,
        window,
        value,
        len(rows),
        status,
        interval=interval,
        unit=name,
        threshold=threshold,
        detail=f"{detail}.",
        facts={"needed": healthy.needed} if healthy is not None else {},
    )


def _loss(spec: ModelSpec, window: Window, rows: pd.DataFrame, healthy: Healthy | None) -> Measurement:
    before = 0 if healthy is None else len(healthy.rows)
    if healthy is None or before < MIN_ROWS or len(rows) < MIN_ROWS:
        detail = f"{len(rows)} labelled rows against {before} in the reference; {MIN_ROWS} of each are needed."
        few: dict[str, object] = {"needed": MIN_ROWS, "reference_rows": before}
        return Measurement("performance.loss", window, None, len(rows), Status.NO_DATA, detail=detail, facts=few)
    now, usual = row_loss(spec, rows), healthy.loss
    tolerance = spec.tolerance or default_tolerance(usual)
    effect = max(design_effect(now, 4), design_effect(usual))
    difference = float(now.mean() - usual.mean())
    variance = max(float(now.var()), float(usual.var()) / 4) / len(now) + float(usual.var()) / len(usual)
    se = float(np.sqrt(variance * effect))
    interval = Interval(difference - Z * se, difference + Z * se)
    status = Status.BREACH if interval.low > tolerance else Status.OK
    visible = Z_POWER * se
    detail = f"mean loss {now.mean():.4g} against {usual.mean():.4g}; a rise of {visible:.2g} would be seen."
    facts = {
        "current": float(now.mean()),
        "reference": float(usual.mean()),
        "visible": visible,
        "needed": healthy.needed,
        "conclusive": bool(status is Status.BREACH or interval.high < tolerance or visible <= tolerance),
    }
    unit = "target" if spec.task is Task.REGRESSION else "loss"
    return Measurement(
        "performance.loss", window, difference, len(rows), status, interval=interval, unit=unit, threshold=tolerance,
        detail=detail, facts=facts,
    )  # fmt: skip
