"""Has the loss risen? Judged on a schedule: every labelled row counts once, and looking often costs nothing.

The detector of `sequential` runs on the rows whose label has had its time: on their loss, and for binary models on the
errors that the headline metric counts (missed positives for recall, wrong ones for precision, else all errors), which
see what the loss hardly does. It alarms when the evidence that a mean is above its target passes 1 in `ALPHA` and the
rise since it began is worth it (at least the tolerance). What a single window says with its interval explains an alarm;
it does not make one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.metrics import Floats, as_class, labelled, positives, row_loss
from ml.monitors.performance import default_tolerance, design_effect, finite
from ml.monitors.sequential import Detector
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec, Task

MONITOR = "performance.rise"
HORIZON = timedelta(days=90)
ALPHA = 0.1
"""Bound on the chance of a false alarm within `HORIZON` for a mean that lies at its target all along. A mean that is
what it was in the reference lies below the target; its false alarms are measured in `make bench-alarms`."""
AT_ONCE = 0.15
"""Weight of a change that came with the beginning (a deployment), beside 1 for all other times of `HORIZON`."""
SLACK = 0.15
"""Share of the tolerance above the usual mean from which evidence is gathered."""
MIN_REFERENCE, MIN_BACK = 30, 20


@dataclass(frozen=True, slots=True)
class Channel:
    """One mean under watch. of: what it is a mean of. usual: in the reference."""

    of: str
    usual: float
    tolerance: float
    detector: Detector
    unspent: timedelta = timedelta(0)

    @property
    def since(self) -> datetime | None:
        """When the rise seems to have begun."""
        run = self.detector.run
        return datetime.fromisoformat(run.since) if run.since else None

    @property
    def size(self) -> float:
        """The mean since then, less the usual."""
        run = self.detector.run
        return run.total / run.rows - self.usual if run.rows else 0.0

    @property
    def proven(self) -> bool:
        enough = self.detector.log_evidence >= np.log(self.detector.run_length)
        return bool(enough) and self.size >= self.tolerance and self.since is not None


@dataclass(frozen=True, slots=True)
class Rise:
    """The state that is carried from look to look. key: what it was made for; another champion, reference or loss is
    another test. scored: whether rows have probabilities. alarm: what rose, and since when, until it is over."""

    key: str
    scored: bool
    channels: tuple[Channel, ...]
    alarm: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        channels = [
            [c.of, c.usual, c.tolerance, c.detector.to_json(), c.unspent.total_seconds()] for c in self.channels
        ]
        alarm = list(self.alarm) if self.alarm else None
        return {"key": self.key, "scored": self.scored, "channels": channels, "alarm": alarm}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rise:
        channels = tuple(
            Channel(of, usual, tolerance, Detector.from_json(detector), timedelta(seconds=unspent))
            for of, usual, tolerance, detector, unspent in data["channels"]
        )
        alarm = (data["alarm"][0], data["alarm"][1]) if data["alarm"] else None
        return cls(data["key"], data["scored"], channels, alarm)


def begin(spec: ModelSpec, reference: pd.DataFrame | None, champion: str | None) -> Rise | str:
    """A fresh state, or a sentence saying why there is none."""
    healthy = _rows(spec, reference)
    if healthy is None or len(healthy) < MIN_REFERENCE:
        had = 0 if healthy is None else len(healthy)
        return f"{had} labelled rows in the reference; {MIN_REFERENCE} are needed to know what is usual"
    scored = spec.task is Task.BINARY and "score" in healthy and bool(healthy["score"].between(0, 1).mean() > 0.5)
    channels: list[Channel] = []
    worth = 1.0
    for of in _channels(spec, scored):
        values, rows = _values(spec, healthy, of, scored)
        if len(values) < MIN_REFERENCE:
            continue
        usual, deviation = float(values.mean()), float(values.std())
        tolerance = default_tolerance(values) * worth
        if not channels and spec.tolerance is not None:  # it is in the unit of the loss; other means are held alike
            tolerance, worth = spec.tolerance, spec.tolerance / default_tolerance(values)
        spread = dispersion(values, rows.get("timestamp"))
        target = usual + max(SLACK * tolerance, 1.64 * deviation * float(np.sqrt(spread / len(values))))
        bound = max(2.0 * float(np.quantile(values, 0.995)), 2.0 * target)
        detector = Detector.start(target, bound, 1 / ALPHA, dispersion=spread, at_once=AT_ONCE)
        channels.append(Channel(of, usual, tolerance, detector))
    if not channels:
        return f"too few reference rows of any kind; {MIN_REFERENCE} are needed to know what is usual"
    made_for = [champion, scored, spec.metric, len(healthy), *((c.of, c.usual, c.tolerance) for c in channels)]
    key = hashlib.sha256("\x1f".join(map(repr, made_for)).encode()).hexdigest()[:16]
    return Rise(key, scored, tuple(channels))


def count(spec: ModelSpec, state: Rise, fresh: pd.DataFrame, passed: timedelta) -> Rise:
    """The state after newly matured labelled rows (log rows, each of them once). passed: time since the last look."""
    rows = _rows(spec, fresh)
    counted = []
    for channel in state.channels:
        unspent = channel.unspent + passed
        values, mine = (np.empty(0), fresh) if rows is None else _values(spec, rows, channel.of, state.scored)
        if len(values):
            times = pd.DatetimeIndex(mine["timestamp"])
            weight = max(unspent / HORIZON, 1e-9) / len(values)
            channel = replace(channel, detector=channel.detector.update(values, times, weight=weight))
            unspent = timedelta(0)
        counted.append(replace(channel, unspent=unspent))
    return replace(state, channels=tuple(counted))


def judge(spec: ModelSpec, state: Rise, mature: Window, rows: pd.DataFrame) -> tuple[Rise, Measurement]:
    """The state and the measurement of this look; `rows`: labelled rows of the mature window.

    An alarm stands until a window that lies wholly after its beginning is back at the target; the test of that mean
    then begins anew.
    """
    alarmed = next((c for c in state.channels if state.alarm is not None and c.of == state.alarm[0]), None)
    if alarmed is not None and state.alarm is not None:
        labelled_rows = _rows(spec, rows)
        assert labelled_rows is not None
        values, _ = _values(spec, labelled_rows, alarmed.of, state.scored)
        back = len(values) >= MIN_BACK and float(values.mean()) <= alarmed.detector.target
        if back and mature.start >= datetime.fromisoformat(state.alarm[1]):
            again = replace(alarmed, detector=alarmed.detector.anew())
            state = replace(state, alarm=None, channels=tuple(again if c is alarmed else c for c in state.channels))
    else:
        proven = max((c for c in state.channels if c.proven), key=_evidence, default=None)
        if proven is not None and proven.since is not None:
            state = replace(state, alarm=(proven.of, proven.since.isoformat()))
    return state, _measurement(state, mature)


def _evidence(channel: Channel) -> float:
    return channel.detector.log_evidence


def _measurement(state: Rise, mature: Window) -> Measurement:
    """The mean that alarmed, or else the one with most evidence."""
    shown = max(state.channels, key=lambda c: (state.alarm is not None and c.of == state.alarm[0], _evidence(c)))
    detector, run, since = shown.detector, shown.detector.run, shown.since
    rows = max(c.detector.rows for c in state.channels)
    if rows == 0:
        why = "no labelled row has been counted yet since the model, its reference or an incident changed."
        return Measurement(MONITOR, mature, None, 0, Status.NO_DATA, detail=why, facts={"rows": 0})
    evidence = float(np.exp(min(detector.log_evidence, 600.0)))
    needed = f"({detector.run_length:.0f} to 1 is an alarm)"
    if state.alarm is not None:
        detail = (
            f"{shown.of} rose to {shown.usual + shown.size:.3g} from {shown.usual:.3g} since {state.alarm[1][:16]}: "
            f"evidence {evidence:.3g} to 1 {needed}, {run.rows} labelled rows since then."
        )
    else:
        detail = f"no rise of {shown.of} is proven ({shown.usual:.3g} is usual): evidence {evidence:.2g} to 1 {needed}."
    return Measurement(
        MONITOR,
        mature,
        shown.size,
        rows,
        Status.BREACH if state.alarm is not None else Status.OK,
        unit=shown.of,
        threshold=shown.tolerance,
        detail=detail,
        facts={
            "evidence": evidence,
            "evidence_needed": detector.run_length,
            "usual": shown.usual,
            "target": detector.target,
            "dispersion": detector.dispersion,
            "since": since.isoformat() if since else None,
            "rows_since": run.rows,
        },
    )


def dispersion(values: Floats, times: pd.Series | None) -> float:
    """Variance of a mean of these values over that of independent rows, at least 1: days differ, neighbours are alike.

    >>> rng = np.random.default_rng(0)
    >>> dispersion(rng.normal(size=4000), None)
    1.0
    """
    neighbours = design_effect(values)
    if times is None or times.isna().any() or values.std() == 0:
        return neighbours
    days = pd.factorize(times.dt.floor("D"))[0]
    sizes = np.bincount(days)
    means = np.bincount(days, weights=values) / sizes
    kept = sizes >= 5
    if kept.sum() < 8:
        return neighbours
    moved = means[kept] - values.mean()
    between = float((sizes[kept] * moved**2).sum()) / (int(kept.sum()) - 1) / float(values.var())
    # days in order of time: what one has of the one before adds up over the days that a rise takes to be seen
    memory = float(np.clip((moved[1:] * moved[:-1]).sum() / max(float((moved**2).sum()), 1e-300), 0.0, 0.7))
    return max(neighbours, 1.0 + max(between - 1.0, 0.0) * (1 + memory) / (1 - memory))


def _channels(spec: ModelSpec, scored: bool) -> tuple[str, ...]:
    if spec.task is not Task.BINARY:
        return ("loss",)
    counts = {"recall": "missed positives", "precision": "wrong positives"}.get(spec.metric, "errors")
    return ("loss", counts) if scored else ("errors",) if counts == "errors" else ("errors", counts)


def _rows(spec: ModelSpec, frame: pd.DataFrame | None) -> pd.DataFrame | None:
    if frame is None:
        return None
    rows = labelled(frame)
    if spec.task is Task.REGRESSION and len(rows):
        rows = labelled(rows.assign(label=finite(rows["label"]), prediction=finite(rows["prediction"])))
    return rows.sort_values("timestamp", kind="stable") if "timestamp" in rows else rows


def _values(spec: ModelSpec, rows: pd.DataFrame, of: str, scored: bool) -> tuple[Floats, pd.DataFrame]:
    """What a channel is a mean of, and the rows that have it."""
    if of == "loss" and scored:
        rows = rows[rows["score"].between(0, 1)]
    elif of == "missed positives":
        rows = rows[positives(spec, rows["label"]) == 1] if len(rows) else rows
    elif of == "wrong positives":
        rows = rows[positives(spec, rows["prediction"]) == 1] if len(rows) else rows
    if len(rows) == 0:
        return np.empty(0), rows
    if of == "loss":
        return row_loss(spec, rows), rows
    return np.asarray(as_class(rows["label"]) != as_class(rows["prediction"]), np.float64), rows
