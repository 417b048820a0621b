"""What an investigation has found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ml.diagnosis.attribution import Attribution, Slice
from ml.diagnosis.causes import Act
from ml.diagnosis.emergency import Emergency
from ml.diagnosis.evidence import Ledger
from ml.diagnosis.harm import Harm
from ml.diagnosis.intake import Frames, NotChecked
from ml.diagnosis.labels import LabelFault
from ml.diagnosis.repair import Break
from ml.diagnosis.replaying import Rollout, Skew
from ml.diagnosis.shares import Share
from ml.diagnosis.shift import Shift
from ml.diagnosis.trial import Trial
from ml.metrics import Floats
from ml.models.predictor import Predictor
from ml.monitors.maturity import Maturity
from ml.results import Measurement
from ml.spec import ModelSpec

MOST_HEALTHY = 20_000


@dataclass
class Case:
    """What an investigation has found so far."""

    spec: ModelSpec
    frames: Frames
    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    not_checked: list[NotChecked] = field(default_factory=list)
    healthy: pd.DataFrame = field(default_factory=pd.DataFrame)
    model: Predictor | None = None
    surrogate: bool = False
    imitates: bool = False
    previous: Predictor | None = None
    before: Predictor | None = None
    breaks: list[Break] = field(default_factory=list)
    moving: list[Break] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    like_history: bool = False
    maturity: Maturity | None = None
    usable: pd.DataFrame = field(default_factory=pd.DataFrame)
    rows: Any = None
    baseline: pd.DataFrame = field(default_factory=pd.DataFrame)
    base_loss: Floats = field(default_factory=lambda: np.zeros(0))
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    harm: Harm | None = None
    gap_broken: bool = False
    skew: Skew | None = None
    fault: LabelFault | None = None
    rollouts: list[Rollout] = field(default_factory=list)
    rollout: Rollout | None = None
    split: Attribution | None = None
    slice: Slice | None = None
    trials: dict[Act, Trial] = field(default_factory=dict)
    places: dict[Act, Any] = field(default_factory=dict)
    ranking_lost: bool = False
    blurred: bool = False
    estimate: Measurement | None = None
    emergency: Emergency | None = None
    season: str | None = None
    shares: tuple[Share, ...] = ()
    cites: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, why: str) -> None:
        self.not_checked.append(NotChecked(what, why))

    def cite(self, topic: str, number: str) -> None:
        self.cites.setdefault(topic, []).append(number)


def healthy_rows(frames: Frames) -> pd.DataFrame:
    parts = [f for f in (frames.reference, frames.history) if len(f)]
    both = pd.concat(parts, ignore_index=True) if parts else frames.reference
    return both.tail(MOST_HEALTHY).reset_index(drop=True)


def moment_of(value: pd.Timestamp | None) -> datetime | None:
    return None if value is None or pd.isna(value) else value.to_pydatetime()
