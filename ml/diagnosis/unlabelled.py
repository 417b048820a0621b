"""What can be said before labels: an estimate of the loss, and an emergency at a deployment.

Both can worry and neither can reassure. An estimate is blind to a changed relation; nothing is called healthy from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from ml.diagnosis import emergency
from ml.diagnosis.case import Case
from ml.diagnosis.evidence import Kind
from ml.diagnosis.harm import MIN_LABELS
from ml.errors import DataError, InvalidInput, SpecError
from ml.metrics import labelled
from ml.models.predictor import Predictor
from ml.monitors.estimation import estimate
from ml.results import Status, Window

WHAT = "the loss before labels"
MIN_ROWS = 50
CONFIDENCE = 0.5
"""Of a rollback that no label supports: as likely as not. A person decides."""


def look_without_labels(case: Case) -> None:
    """Both looks, each only where labels do not settle the matter."""
    _estimate(case)
    _emergency(case)


def _estimate(case: Case) -> None:
    h = case.harm
    if h is not None and not (h.doubtful or (case.maturity and case.maturity.overdue)):
        return
    current = case.frames.current
    rows = current.drop(index=current.index[case.rows])
    rows = rows if len(rows) >= MIN_ROWS else current
    found = estimate(case.spec, labelled(case.healthy), rows, window=_span(rows), seed=case.seed)[0]
    if found.status is Status.NO_DATA:
        case.note(WHAT, found.detail)
        return
    case.estimate = found
    case.cite("estimate", case.ledger.add(
        Kind.ESTIMATE, f"without labels: {found.detail}", found.value, interval=found.interval, n=found.n,
        unit=found.unit, source="estimation.estimate", facts={**found.facts, "tolerance": found.threshold},
    ))  # fmt: skip


def _span(rows: pd.DataFrame) -> Window:
    """The rows' own span; any span where they have no times (the estimate does not look at it)."""
    times = rows["timestamp"].dropna()
    first = pd.Timestamp(0, tz="UTC") if times.empty else times.min()
    last = first if times.empty else times.max()
    return Window(first.to_pydatetime(), last.to_pydatetime() + timedelta(microseconds=1))


def _emergency(case: Case) -> None:
    """A deployment since which there are hardly any labels: do its predictions look like another model's?"""
    if not case.rollouts or case.skew is not None:
        return
    last, current = case.rollouts[-1], case.frames.current
    if int((case.rows >= last.start).sum()) >= MIN_LABELS:
        return
    healthy = case.healthy
    if case.previous is None:
        known = healthy["model_version"].astype(object)
        healthy = healthy[known.isna() | (known == last.before)]
    teaching = labelled(case.healthy)

    def refit(rows: pd.DataFrame) -> Predictor:
        from ml.models import recipes

        return recipes.fit(case.spec, rows[rows.index.isin(teaching.index)], seed=case.seed)

    try:
        found: emergency.Emergency | str = emergency.look(
            case.spec, healthy, current.iloc[: last.start], current.iloc[last.start :], case.previous, refit
        )
    except (DataError, SpecError, InvalidInput) as error:
        found = str(error)
    if isinstance(found, str):
        case.note(f"whether version {last.version} answers otherwise than the one before, without labels", found)
        return
    case.rollout = last
    case.emergency = found
    number = case.ledger.add(
        Kind.REPLAY, found.text, found.disagreement, n=found.n, unit="a row", source="emergency.look",
        facts={"step": found.step, "usual_step": found.usual_step, "usual": found.usual, "replayed": found.replayed},
    )  # fmt: skip
    case.cite("emergency" if found.grave else "no emergency", number)


def rollback_parameters(case: Case) -> Mapping[str, Any]:
    """Where an emergency rollback goes; the mark says what it rests on."""
    before = case.rollout.before if case.rollout else None
    to = before or (case.previous.version if case.previous else None)
    return {"to_version": to, "expected_version": case.rollout.version if case.rollout else None, "basis": "no labels"}


def is_worried(case: Case) -> bool:
    """Whether the estimate says that the loss rose beyond the tolerance."""
    return case.estimate is not None and case.estimate.status is Status.BREACH


def reason(case: Case) -> str:
    """What the estimate adds to a wait for labels."""
    if case.estimate is None:
        return ""
    if is_worried(case):
        return "; the estimate without labels says that the loss rose: a person should look before the labels come"
    return "; the estimate without labels is within its band, which alone calls no model healthy"
