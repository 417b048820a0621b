"""An always-valid test of rising loss, for looking at every label as it comes.

A test that is run every day and alarms at p < 0.05 alarms for certain in the end. The e-detector does not: it adds up
evidence row by row, and without a change its evidence passes `goal` in a stretch of time with a chance of at most
(weight spent in that stretch) / goal, however often one looks.

Source: Podkopaev and Ramdas (ICLR 2022), "Tracking the risk of a deployed model"; Shin, Ramdas, Rinaldo (2022),
"E-detectors" (Shiryaev-Roberts form, M_t = (w_t + M_{t-1}) * e_t), with a mixture over bets. The bound is Doob's
inequality on M_t less the weight spent so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import InvalidInput

Floats = npt.NDArray[np.float64]
_BETS = (0.05, 0.1, 0.2, 0.4, 0.8)
_NOTHING = float("-inf")


@dataclass(frozen=True, slots=True)
class Run:
    """The rows since one bet last stood at its lowest: where a rise would have begun. height: log gain since then."""

    height: float = 0.0
    rows: int = 0
    total: float = 0.0
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Detector:
    """The state: small, JSON-able, kept by the caller. Losses above `bound` are cut to it, which keeps the test valid
    in the direction of no alarm.

    target: mean loss that is still fine. run_length: evidence that alarms; with a weight of 1 a row, also the rows to
    a false alarm, on average and at least. dispersion: variance of a mean of healthy losses over that of independent
    rows; evidence is taken to the power 1/dispersion, which is what it is worth. logs: log M for each bet. rows: seen
    so far. alarm_at: rows seen when it first alarmed.
    """

    target: float
    bound: float
    run_length: float = 100_000.0
    dispersion: float = 1.0
    logs: tuple[float, ...] = (_NOTHING,) * len(_BETS)
    runs: tuple[Run, ...] = (Run(),) * len(_BETS)
    rows: int = 0
    alarm_at: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.target < self.bound):
            raise InvalidInput(
                f"The target loss {self.target:g} must lie between 0 and the bound {self.bound:g}; give another bound."
            )

    @classmethod
    def start(
        cls, target: float, bound: float, run_length: float, *, dispersion: float = 1.0, at_once: float = 0.0
    ) -> Detector:
        """A fresh state; `at_once` is the weight of a change that was there from the first row."""
        log = float(np.log(at_once)) if at_once else _NOTHING
        return cls(target, bound, run_length, dispersion, (log,) * len(_BETS))

    def anew(self) -> Detector:
        """The same test without what was seen."""
        return Detector(self.target, self.bound, self.run_length, self.dispersion)

    @property
    def log_evidence(self) -> float:
        """Log of the mixture; an alarm from log(run_length) on."""
        return float(np.logaddexp.reduce(self.logs) - np.log(len(_BETS)))

    @property
    def alarmed(self) -> bool:
        return self.alarm_at is not None

    @property
    def run(self) -> Run:
        """The likeliest stretch of raised loss: that of the bet with most evidence."""
        return self.runs[int(np.argmax(self.logs))]

    def update(
        self,
        losses: Iterable[float],
        times: Sequence[datetime] | pd.DatetimeIndex | None = None,
        *,
        weight: float = 1.0,
    ) -> Detector:
        """The state after these losses, in order of time; missing ones are skipped. weight: spent by each row.

        >>> state = Detector(target=0.12, bound=1.0, run_length=1000)
        >>> state.update([0.1] * 2000).alarmed, state.update([0.3] * 200).alarmed
        (False, True)
        """
        values = np.asarray(list(losses), dtype=np.float64)
        known = np.flatnonzero(np.isfinite(values))
        values = np.minimum(values[known], self.bound)
        if not len(values):
            return self
        bets = np.array(_BETS) / self.target
        path = np.cumsum(np.log1p(bets * (values[:, None] - self.target)) / self.dispersion, axis=0)
        # M_t = E_t (M_0 + sum of w / E_{j-1}): one running sum instead of a loop over rows
        before = np.vstack([np.zeros(len(bets)), path[:-1]])
        started = np.logaddexp.accumulate(np.vstack([self.logs, np.log(weight) - before]), axis=0)[1:]
        logs = path + started
        mixture = np.logaddexp.reduce(logs, axis=1) - np.log(len(bets))
        alarm = self.alarm_at
        if alarm is None and (mixture >= np.log(self.run_length)).any():
            alarm = self.rows + int(np.argmax(mixture >= np.log(self.run_length))) + 1

        def when(row: int) -> str | None:
            return None if times is None else str(times[int(known[row])].isoformat())

        runs = tuple(_carry(run, path[:, k], values, when) for k, run in enumerate(self.runs))
        logs_now = tuple(float(v) for v in logs[-1])
        return replace(self, logs=logs_now, runs=runs, rows=self.rows + len(values), alarm_at=alarm)

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target, "bound": self.bound, "run_length": self.run_length, "dispersion": self.dispersion,
            "logs": [None if np.isneginf(v) else v for v in self.logs],
            "runs": [[r.height, r.rows, r.total, r.since] for r in self.runs],
            "rows": self.rows, "alarm_at": self.alarm_at,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Detector:
        """The state that `to_json` wrote.

        >>> state = Detector(target=0.1, bound=1.0).update([0.2, 0.0])
        >>> Detector.from_json(state.to_json()) == state
        True
        """
        logs = tuple(_NOTHING if v is None else float(v) for v in data["logs"])
        runs = tuple(Run(*run) for run in data["runs"])
        return cls(
            data["target"], data["bound"], data["run_length"], data["dispersion"], logs, runs, data["rows"],
            data["alarm_at"],
        )  # fmt: skip


def _carry(run: Run, path: Floats, values: Floats, when: Callable[[int], str | None]) -> Run:
    """A run after more rows: it begins anew wherever the path is at its lowest."""
    heights = run.height + path
    lowest = len(path) - 1 - int(np.argmin(heights[::-1]))  # the last of the lowest
    if heights[lowest] > 0:
        since = run.since if run.rows else when(0)
        return Run(float(heights[-1]), run.rows + len(values), run.total + float(values.sum()), since)
    rest = values[lowest + 1 :]
    since = when(lowest + 1) if len(rest) else None
    return Run(float(heights[-1] - heights[lowest]), len(rest), float(rest.sum()), since)


def watch_loss(reference_losses: Iterable[float], tolerance: float, *, run_length: float = 100_000.0) -> Detector:
    """A detector for losses like these; the bound is their 99.5th percentile times two (the largest, for shares).

    run_length: rows until a false alarm, on average and at least, without any change.
    Raises: InvalidInput without 30 finite losses.
    """
    values = np.asarray(list(reference_losses), dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 30:
        raise InvalidInput(f"A detector needs 30 reference losses to know what is usual, but there are {len(values)}.")
    error = 1.64 * float(values.std()) / np.sqrt(len(values))
    target = float(values.mean()) + tolerance + error
    bound = max(2.0 * float(np.quantile(values, 0.995)), 2.0 * target)
    return Detector(target, bound, run_length)
