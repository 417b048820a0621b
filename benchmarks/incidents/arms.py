"""What is compared: our diagnosis, and the two rules that most teams run."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchmarks.incidents.faults import Incident
from ml.diagnosis import diagnose
from ml.diagnosis.causes import Act, Cause
from ml.metrics import labelled, row_loss


@dataclass
class Answer:
    act: Act
    cause: Cause | None = None
    intended: Act | None = None
    features: tuple[str, ...] = ()
    onset: pd.Timestamp | None = None
    confidence: float = 1.0
    share: float = 1.0
    seconds: float = 0.0
    not_run: bool = False
    notes: dict[str, object] = field(default_factory=dict)


def ours(case: Incident) -> Answer:
    started = time.perf_counter()
    d = diagnose(
        case.spec, case.reference, case.current, history=case.history, deployments=case.deployments, model=case.model,
        previous_model=case.previous, as_of=case.as_of, seed=case.seed,
    )  # fmt: skip
    lead = d.cause
    intended = Act(d.action.parameters.get("instead_of", d.action.kind)) if d.action.escalate else d.action.kind
    return Answer(
        d.action.kind, lead.cause, intended, lead.features, lead.onset, d.confidence, d.vote_share,
        time.perf_counter() - started, notes={"facts": [f.statement for f in d.evidence]},
    )  # fmt: skip


def drift_so_retrain(case: Incident) -> tuple[Answer, Answer]:
    """Evidently's DataDriftPreset with its defaults: retrain when any column drifted, and when half of them did."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = list(case.spec.features)
    numeric = [c for c in columns if case.spec.features[c].type.value == "numeric"]
    other = [c for c in columns if c not in numeric]

    def table(frame: pd.DataFrame) -> Dataset:
        out = frame[columns].copy()
        for c in other:
            out[c] = out[c].astype(str)
        return Dataset.from_pandas(out, DataDefinition(numerical_columns=numeric, categorical_columns=other))

    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = Report([DataDriftPreset()]).run(table(case.current), table(case.reference)).dict()
        except (ValueError, ZeroDivisionError, TypeError, IndexError):
            return Answer(Act.NO_ACTION, not_run=True), Answer(Act.NO_ACTION, not_run=True)
    counts = [m["value"] for m in result["metrics"] if isinstance(m.get("value"), dict) and "share" in m["value"]]
    share = max((float(c["share"]) for c in counts), default=0.0)
    seconds = time.perf_counter() - started
    return tuple(Answer(Act.RETRAIN if share > bar else Act.NO_ACTION, seconds=seconds) for bar in (0.0, 0.4999))


def worse_so_retrain(case: Incident) -> Answer:
    """Mean loss significantly above the reference's (one-sided z-test at 5 %) means retrain."""
    rows = labelled(case.current)
    if len(rows) < 30:
        return Answer(Act.WAIT_FOR_LABELS)
    now, before = row_loss(case.spec, rows), row_loss(case.spec, case.reference)
    z = (now.mean() - before.mean()) / np.hypot(now.std() / np.sqrt(len(now)), before.std() / np.sqrt(len(before)))
    return Answer(Act.RETRAIN if z > 1.645 else Act.NO_ACTION)
