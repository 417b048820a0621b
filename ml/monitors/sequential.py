"""An always-valid test of rising loss, for looking at every label as it comes.

A test that is run every day and alarms at p < 0.05 alarms for certain in the end. The e-detector does not: its expected
run length without a change is at least `run_length` rows, however often one looks.

Source: Podkopaev and Ramdas (ICLR 2022), "Tracking the risk of a deployed model"; Shin, Ramdas, Rinaldo (2022),
"E-detectors" (Shiryaev-Roberts form, M_t = (1 + M_{t-1}) * e_t), with a mixture over bets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml.errors import InvalidInput

_BETS = (0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Detector:
    """The state: small, JSON-able, kept by the caller. Losses are scaled by `bound`, the largest loss that counts
    (larger ones are cut to it, which keeps the test valid in the direction of no alarm).

    target: mean loss that is still fine (reference risk + tolerance). logs: log M for each bet. rows: seen so far.
    alarm_at: rows seen when it first alarmed.
    """

    target: float
    bound: float
    run_length: float = 100_000.0
    logs: tuple[float, ...] = (float("-inf"),) * len(_BETS)
    rows: int = 0
    alarm_at: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.target < self.bound):
            raise InvalidInput(
                f"The target loss {self.target:g} must lie between 0 and the bound {self.bound:g}; give another bound."
            )

    @property
    def log_evidence(self) -> float:
        """Log of the mixture; an alarm from log(run_length) on."""
        return float(np.logaddexp.reduce(self.logs) - np.log(len(_BETS)))

    @property
    def alarmed(self) -> bool:
        return self.alarm_at is not None

    def update(self, losses: Iterable[float]) -> Detector:
        """The state after these losses, in order of time; missing ones are skipped.

        >>> state = Detector(target=0.12, bound=1.0, run_length=1000)
        >>> state.update([0.1] * 2000).alarmed, state.update([0.3] * 200).alarmed
        (False, True)
        """
        values = np.asarray(list(losses), dtype=np.float64)
        values = np.minimum(values[np.isfinite(values)], self.bound)
        bets = np.array(_BETS) / self.target
        steps = np.log1p(bets[None, :] * (values[:, None] - self.target))
        logs, alarm = np.array(self.logs), self.alarm_at
        goal = np.log(self.run_length) + np.log(len(_BETS))
        for i, step in enumerate(steps):
            logs = np.logaddexp(0.0, logs) + step
            if alarm is None and np.logaddexp.reduce(logs) >= goal:
                alarm = self.rows + i + 1
        return replace(self, logs=tuple(logs.tolist()), rows=self.rows + len(values), alarm_at=alarm)

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target, "bound": self.bound, "run_length": self.run_length, "rows": self.rows,
            "logs": [None if np.isneginf(v) else v for v in self.logs], "alarm_at": self.alarm_at,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Detector:
        """The state that `to_json` wrote.

        >>> state = Detector(target=0.1, bound=1.0).update([0.2, 0.0])
        >>> Detector.from_json(state.to_json()) == state
        True
        """
        logs = tuple(float("-inf") if v is None else float(v) for v in data["logs"])
        return cls(data["target"], data["bound"], data["run_length"], logs, data["rows"], data["alarm_at"])


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
