"""The closed sets a diagnosis speaks in: what may have happened, what may be done, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Cause(StrEnum):
    """What may have happened."""

    HEALTHY = "healthy"
    HARMLESS_SHIFT = "harmless_shift"
    HARMFUL_COVARIATE_SHIFT = "harmful_covariate_shift"
    CONCEPT_DRIFT_SUDDEN = "concept_drift_sudden"
    CONCEPT_DRIFT_GRADUAL = "concept_drift_gradual"
    DATA_PIPELINE_FAULT = "data_pipeline_fault"
    BAD_DEPLOYMENT = "bad_deployment"
    TRAINING_SERVING_SKEW = "training_serving_skew"
    LABEL_FAULT = "label_fault"
    LABEL_DELAY = "label_delay"
    SEASONAL = "seasonal"
    SEGMENT_SHIFT = "segment_shift"
    PRIOR_SHIFT = "prior_shift"
    REFERENCE_STALE = "reference_stale"
    INSUFFICIENT_DATA = "insufficient_data"


class Act(StrEnum):
    """What may be done, least invasive first; the values are those of `tools.actions.ActionKind`."""

    NO_ACTION = "no_action"
    WAIT_FOR_LABELS = "wait_for_labels"
    REFRESH_REFERENCE = "refresh_reference"
    FIX_DATA = "fix_data"
    ROLLBACK = "rollback"
    RECALIBRATE = "recalibrate"
    RETRAIN = "retrain"
    PROMOTE = "promote"

    @property
    def changes_model(self) -> bool:
        return self in (Act.ROLLBACK, Act.RECALIBRATE, Act.RETRAIN, Act.PROMOTE)


class Verdict(StrEnum):
    OK = "ok"
    DRIFT_HARMLESS = "drift_harmless"
    INCIDENT = "incident"


MEANING: Mapping[Cause, str] = {
    Cause.HEALTHY: "nothing has changed beyond sampling noise",
    Cause.HARMLESS_SHIFT: "inputs moved, and the model is as good as before",
    Cause.HARMFUL_COVARIATE_SHIFT: "inputs moved to where the model is worse; the relation it learnt still holds",
    Cause.CONCEPT_DRIFT_SUDDEN: "the same inputs now mean something else, from one moment on",
    Cause.CONCEPT_DRIFT_GRADUAL: "the same inputs come to mean something else, little by little",
    Cause.DATA_PIPELINE_FAULT: "an input arrives broken",
    Cause.BAD_DEPLOYMENT: "the version that went live is worse than the one it replaced",
    Cause.TRAINING_SERVING_SKEW: "what is served is not what the model answers to the logged inputs",
    Cause.LABEL_FAULT: "the labels are broken, not the model",
    Cause.LABEL_DELAY: "labels are overdue",
    Cause.SEASONAL: "a season that the model has not learnt, or has seen before",
    Cause.SEGMENT_SHIFT: "the harm sits in one segment",
    Cause.PRIOR_SHIFT: "the share of positives changed; ranking still works, probabilities do not",
    Cause.REFERENCE_STALE: "the reference is out of date; the present is like the recent, healthy past",
    Cause.INSUFFICIENT_DATA: "too few mature labels to tell",
}


def verdict_of(cause: Cause) -> Verdict:
    """The verdict that goes with a leading cause.

    `insufficient_data` is `ok` only in the sense that nothing was found; its action says to look again.

    >>> verdict_of(Cause.HARMLESS_SHIFT).value
    'drift_harmless'
    """
    if cause in (Cause.HEALTHY, Cause.INSUFFICIENT_DATA):
        return Verdict.OK
    return Verdict.DRIFT_HARMLESS if cause in (Cause.HARMLESS_SHIFT, Cause.REFERENCE_STALE) else Verdict.INCIDENT
