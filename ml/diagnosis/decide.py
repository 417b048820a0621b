"""The decision table: numbers in, one cause and one action out. First match wins; least invasive first. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ml.diagnosis.causes import Act, Cause

FIX_SHARE, ROLLBACK_SHARE, RECALIBRATE_SHARE = 0.35, 0.9, 0.9
RESTORED = 0.75
"""Share of the harm that must come back where an action is said to undo it."""
SEGMENT_SHARE, SEGMENT_ROWS = 0.7, 0.45


@dataclass(frozen=True, slots=True)
class Gain:
    """A trial as the table sees it: mean gain and its lower bound, per row; and what more data always gives, which has
    been taken off both."""

    mean: float
    low: float
    ordinary: float = 0.0


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything the decision rests on. Losses and gains are per row; `tolerance` is the loss that nobody minds."""

    tolerance: float
    rows: int = 0
    labels: int = 0
    labels_overdue: bool = False
    doubtful: bool = False
    likely: bool = False
    harm: float = 0.0
    harm_low: float = 0.0
    gradual: bool = False
    calibration_broken: bool = False
    break_certain: bool = False
    break_moves: bool = False
    break_plain: bool = False
    break_found: bool = False
    skewed: bool = False
    label_fault: bool = False
    ranking_lost: bool = False
    blurred: bool = False
    at_deployment: bool = False
    emergency: bool = False
    drifted: bool = False
    like_history: bool = False
    in_season: bool = False
    calendar: bool = False
    relation: float = 0.0
    relation_low: float = 0.0
    inputs: float = 0.0
    apart: bool = False
    slice_carries: float = 0.0
    slice_rows: float = 1.0
    fix: Gain | None = None
    rollback: Gain | None = None
    recalibrate: Gain | None = None
    retrain: Gain | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    cause: Cause
    act: Act
    why: str


def choose(s: Signals) -> Choice:
    """The cause and action that the signals carry."""
    harmed = s.harm_low > s.tolerance
    enough = s.tolerance / 2
    best = max((g.mean for g in (s.fix, s.rollback, s.recalibrate, s.retrain) if g is not None), default=0.0)

    def eligible(gain: Gain | None, share: float) -> bool:
        return gain is not None and gain.low > enough and (gain.mean >= share * best or best - gain.mean <= enough)

    undone = s.rollback is not None and s.rollback.low > enough and harmed and s.rollback.mean > RESTORED * s.harm
    can_roll_back = undone or eligible(s.rollback, ROLLBACK_SHARE)
    if s.rows < 20:
        return Choice(Cause.INSUFFICIENT_DATA, Act.WAIT_FOR_LABELS, "there are fewer than 20 rows")
    if s.skewed and not (s.at_deployment and can_roll_back):
        return Choice(
            Cause.TRAINING_SERVING_SKEW,
            Act.FIX_DATA,
            "the served answers are not the model's answers to the logged inputs",
        )
    broken = s.break_certain and s.break_moves
    if broken and _outweighed(s):
        return Choice(Cause.BAD_DEPLOYMENT, Act.ROLLBACK, "a deployment costs more than the break that came with it")
    if broken and (s.break_plain or not (_refuted(s) or (harmed and _explains_little(s, best, enough)))):
        why = "an input is certainly broken and predictions move with it"
        return Choice(Cause.DATA_PIPELINE_FAULT, Act.FIX_DATA, why)
    if s.label_fault:
        return Choice(Cause.LABEL_FAULT, Act.FIX_DATA, "the labels are broken; nothing may be learnt from them")
    if s.break_found and (harmed or s.calibration_broken) and eligible(s.fix, FIX_SHARE):
        return Choice(Cause.DATA_PIPELINE_FAULT, Act.FIX_DATA, "undoing the break brings the loss back")
    if s.at_deployment and can_roll_back:
        return Choice(
            Cause.BAD_DEPLOYMENT,
            Act.ROLLBACK,
            "the harm began with a deployment and the version before is better on the same rows",
        )
    if s.emergency and not harmed:
        why = "no labels: predictions stepped with a deployment, and the version before disagrees beyond what is usual"
        return Choice(Cause.BAD_DEPLOYMENT, Act.ROLLBACK, why)
    if s.labels_overdue and not harmed:
        return Choice(Cause.LABEL_DELAY, Act.WAIT_FOR_LABELS, "labels that should be here are not")
    if harmed:
        return _of_harm(s, eligible(s.recalibrate, RECALIBRATE_SHARE), enough)
    if s.likely and (choice := _of_likely_harm(s)):
        return choice
    if s.calibration_broken and s.recalibrate is not None and _worth_mapping(s, s.recalibrate, enough):
        return Choice(
            Cause.PRIOR_SHIFT, Act.RECALIBRATE, "probabilities are off and a new map from score to probability helps"
        )
    if s.labels < 30 or s.doubtful:
        return Choice(Cause.INSUFFICIENT_DATA, Act.WAIT_FOR_LABELS, "too few mature labels to tell")
    if s.drifted and s.in_season:
        return Choice(Cause.SEASONAL, Act.NO_ACTION, "the inputs are as they were in the same season before")
    if s.drifted and s.like_history:
        return Choice(
            Cause.REFERENCE_STALE,
            Act.REFRESH_REFERENCE,
            "the present is like the healthy recent past, not like the reference",
        )
    if s.drifted:
        return Choice(Cause.HARMLESS_SHIFT, Act.NO_ACTION, "inputs moved and the loss is within tolerance")
    return Choice(Cause.HEALTHY, Act.NO_ACTION, "nothing moved beyond sampling noise")


def _explains_little(s: Signals, best: float, enough: float) -> bool:
    """The break is real, but the harm is another: learning anew (from unbroken rows) gains several times as much."""
    anew = max((g.mean for g in (s.recalibrate, s.retrain) if g is not None and g.low > enough), default=0.0)
    return s.fix is not None and anew >= best and s.fix.mean < FIX_SHARE * anew and anew - s.fix.mean > s.tolerance


def _outweighed(s: Signals) -> bool:
    """A second fault that costs more than the break."""
    other = max((g.mean for g in (s.rollback,) if g is not None and g.low > s.tolerance / 2), default=0.0)
    return s.at_deployment and other > 1.5 * max(s.fix.mean if s.fix else 0.0, s.tolerance)


def _refuted(s: Signals) -> bool:
    """The labels speak against the break: undoing it makes the loss clearly worse. Values that moved for another
    reason can fit a repair by chance; labels do not."""
    return s.fix is not None and s.fix.mean < -s.tolerance / 2


def _of_harm(s: Signals, can_recalibrate: bool, enough: float) -> Choice:
    if s.blurred and s.relation > 3 * s.inputs and not s.apart:
        why = "outcomes follow the inputs less than they did, whatever model is learnt: wrong labels, or more chance"
        return Choice(Cause.LABEL_FAULT, Act.NO_ACTION, f"{why}; look at the labels before anything learns from them")
    can_retrain = s.retrain is not None and (s.retrain.low > enough or _proven_otherwise(s, s.retrain, enough))
    if can_recalibrate and not (s.ranking_lost and (can_retrain or _learns_more(s, enough))):
        cause = cause_of_change(s) if s.ranking_lost else Cause.PRIOR_SHIFT
        return Choice(cause, Act.RECALIBRATE, "recalibrating gains as much as anything else")
    if can_retrain or (can_recalibrate and _learns_more(s, enough)):
        why = "a model that has seen the recent rows is better on them, beyond what more data always gives"
        return Choice(cause_of_change(s), Act.RETRAIN, why)
    if s.retrain is not None and s.retrain.mean > enough:
        why = "the model is harmed, but the labels do not yet show what would help"
        return Choice(Cause.INSUFFICIENT_DATA, Act.WAIT_FOR_LABELS, why)
    if s.relation > max(s.inputs, s.tolerance) and not s.apart:
        why = "the relation changed, but the labels do not yet show that learning it anew would help"
        return Choice(cause_of_change(s), Act.WAIT_FOR_LABELS, why)
    why = "the cases became harder; no action on the model would help"
    return Choice(Cause.HARMFUL_COVARIATE_SHIFT, Act.NO_ACTION, why)


def _worth_mapping(s: Signals, gain: Gain, enough: float) -> bool:
    """Probabilities that are off for certain are worth a new map where that certainly gains, and enough on average."""
    return gain.low > enough or (gain.low > 0 and gain.mean > s.tolerance)


def _of_likely_harm(s: Signals) -> Choice | None:
    """The harm is certain, only not that it passes the tolerance: a model is touched where that certainly gains more
    than the tolerance, twice what a certain harm asks for."""
    map_gain, anew = s.recalibrate, s.retrain
    if anew is not None and anew.low > s.tolerance and (s.ranking_lost or map_gain is None or _beats(anew, map_gain)):
        why = "the loss rose, and a model that has seen the recent rows certainly saves more than the tolerance"
        return Choice(cause_of_change(s), Act.RETRAIN, why)
    if map_gain is not None and map_gain.low > s.tolerance and not s.ranking_lost:
        return Choice(Cause.PRIOR_SHIFT, Act.RECALIBRATE, "probabilities are off and a new map of the score helps")
    return None


def _beats(anew: Gain, other: Gain) -> bool:
    return RECALIBRATE_SHARE * anew.mean > other.mean


def _proven_otherwise(s: Signals, retrain: Gain, enough: float) -> bool:
    """The relation has changed for certain, and a retraining gains for certain; only how much of that gain more data
    always gives is not. That is subtracted to leave healthy models alone, and this one is not healthy."""
    changed = s.relation_low > 2 * s.tolerance and s.relation > 3 * s.inputs and not s.apart
    return changed and retrain.mean > enough and retrain.low + retrain.ordinary > 0


def _learns_more(s: Signals, enough: float) -> bool:
    """Where the ranking is lost, a new map of the score answers nothing that a retraining does not answer better."""
    if s.retrain is None or s.recalibrate is None:
        return False
    all_of_it = s.retrain.mean + s.retrain.ordinary
    return all_of_it > s.recalibrate.mean + enough / 2 and s.retrain.low + s.retrain.ordinary > enough


def cause_of_change(s: Signals) -> Cause:
    """Which change a retraining answers."""
    if s.slice_carries >= SEGMENT_SHARE and s.slice_rows <= SEGMENT_ROWS:
        return Cause.SEGMENT_SHIFT
    if s.calendar:
        return Cause.SEASONAL
    if s.apart or s.inputs > s.relation:
        return Cause.HARMFUL_COVARIATE_SHIFT
    return Cause.CONCEPT_DRIFT_GRADUAL if s.gradual else Cause.CONCEPT_DRIFT_SUDDEN
