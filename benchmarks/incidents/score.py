"""Right, harmful, false, and what came of it: the metric of every action on the rows that came next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.incidents.arms import Answer
from benchmarks.incidents.faults import Incident
from ml.diagnosis.causes import Act
from ml.errors import DataError
from ml.metrics import labelled, row_loss
from ml.models import recipes
from ml.models.predictor import Predictor

ABSTAIN = {Act.NO_ACTION, Act.WAIT_FOR_LABELS, Act.REFRESH_REFERENCE}


@dataclass
class Outcome:
    """Mean loss on later rows under each action, and the healthy level."""

    loss: dict[Act, float]
    healthy: float
    spread: float

    @property
    def nothing(self) -> float:
        return self.loss[Act.NO_ACTION]

    @property
    def tolerance(self) -> float:
        return 0.1 * self.spread


def outcomes(case: Incident) -> Outcome:
    """Carry out every action and look at the later rows (whose labels are true, whatever the current ones are)."""
    spec, later = case.spec, case.later
    base = row_loss(spec, case.reference)

    def with_model(model: Predictor, frame: pd.DataFrame) -> float:
        out = model.predict(frame)
        return float(
            row_loss(spec, frame.assign(prediction=out["prediction"].to_numpy(), score=out["score"].to_numpy())).mean()
        )

    loss = {Act.NO_ACTION: float(row_loss(spec, later).mean())}
    loss[Act.FIX_DATA] = (
        float(row_loss(spec, case.mended).mean()) if case.features or case.mended is not later else loss[Act.NO_ACTION]
    )
    loss[Act.ROLLBACK] = with_model(case.previous, later) if case.previous is not None else loss[Act.NO_ACTION]
    rows = labelled(case.current)
    healthy = pd.concat([case.reference, case.history], ignore_index=True)
    loss[Act.RETRAIN] = loss[Act.RECALIBRATE] = loss[Act.NO_ACTION]
    if len(rows) >= 30:
        every = pd.concat([healthy, rows], ignore_index=True)
        weight = np.r_[np.ones(len(healthy)), np.full(len(rows), 5.0)]
        try:
            loss[Act.RETRAIN] = with_model(recipes.fit(spec, every, sample_weight=weight), later)
            if spec.task.value == "binary":
                loss[Act.RECALIBRATE] = with_model(recipes.recalibrate(spec, case.model, rows), later)
        except DataError:
            pass
    for act in (Act.WAIT_FOR_LABELS, Act.REFRESH_REFERENCE):
        loss[act] = loss[Act.NO_ACTION]
    return Outcome(loss, float(base.mean()), float(base.std()))


def judge(case: Incident, answer: Answer, result: Outcome) -> dict[str, object]:
    """The scores of one answer.

    right: the action of the construction. Where the fault costs less than the tolerance on later rows, doing nothing
    (or waiting) is right too, and so is recalibrating where it serves as well as the retraining that was meant. A
    changed world that does no harm needs nothing; where harder cases are also rarer ones, so that a retraining gains,
    it is right. abstained: nothing proposed. harmful: the model is changed where no change of it is right, or the later
    rows lose more than the tolerance by it, or broken rows are learnt. false: anything proposed on a quiet stream.
    """
    small = result.nothing - min(result.loss[a] for a in case.acts) < result.tolerance
    acts = case.acts | (ABSTAIN if small else set())
    if case.acts <= {Act.RETRAIN, Act.RECALIBRATE} and result.nothing < result.healthy + result.tolerance:
        acts = acts | ABSTAIN
    if case.category == "harder_mix" and result.nothing - result.loss[Act.RETRAIN] > result.tolerance:
        acts = acts | {Act.RETRAIN}
    if Act.RETRAIN in acts and result.loss[Act.RECALIBRATE] < result.loss[Act.RETRAIN] + result.tolerance / 2:
        acts = acts | {Act.RECALIBRATE}
    proposed = answer.act in (Act.RETRAIN, Act.ROLLBACK, Act.RECALIBRATE, Act.FIX_DATA)
    worse = result.loss[answer.act] - result.nothing
    wrong_change = answer.act.changes_model and not any(a.changes_model for a in acts)
    harmful = answer.act.changes_model and (worse > result.tolerance or (wrong_change and worse > -result.tolerance))
    learns_broken = answer.act is Act.RETRAIN and case.acts == {Act.FIX_DATA}
    right = answer.act in acts
    found = set(answer.features)
    onset = None
    if case.onset is not None and answer.onset is not None:
        span = (case.current["timestamp"].iloc[-1] - case.current["timestamp"].iloc[0]).total_seconds()
        onset = abs((pd.Timestamp(answer.onset) - case.onset).total_seconds()) / span
    best = min(result.loss.values())
    calm = small and right and answer.act in ABSTAIN
    acted = bool(case.features) and right and answer.act not in ABSTAIN
    return {
        "category": case.category,
        "world": case.world,
        "real": case.real,
        "strength": case.strength,
        "size": case.size,
        "seed": case.seed,
        "act": answer.act.value,
        "cause": None if answer.cause is None else answer.cause.value,
        "right": right,
        "cause_right": None if answer.cause is None else bool(answer.cause in case.causes or calm),
        "abstained": answer.act in ABSTAIN,
        "harmful": bool(harmful or learns_broken),
        "small": bool(small),
        "false": bool(case.quiet and proposed),
        "quiet": case.quiet,
        "features": bool(case.features <= found) if acted else None,
        "onset": onset,
        "confidence": answer.confidence,
        "share": answer.share,
        "intended": answer.intended.value if answer.intended else None,
        "intended_right": answer.intended in acts if answer.intended else right,
        "seconds": answer.seconds,
        "not_run": answer.not_run,
        "regret": (result.loss[answer.act] - best) / result.spread,
        "nothing": (result.nothing - best) / result.spread,
    }
