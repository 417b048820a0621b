"""From a case and its signals to the answer: votes of resampled rows, calibrated confidence, and the words."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.diagnosis import decide, unlabelled
from ml.diagnosis.case import Case, moment_of
from ml.diagnosis.causes import MEANING, Act, Cause, Verdict, verdict_of
from ml.diagnosis.harm import Z_WHOLE
from ml.diagnosis.pictures import pictures
from ml.diagnosis.result import Diagnosis, RankedCause, Recommendation, RuledOut
from ml.diagnosis.trial import Z

DRAWS = 200
ESCALATE_BELOW = 0.6
EITHER = 0.5
"""What is said of wrong labels where a world with more chance in it would look the same."""
_SUPPORT: dict[Cause, tuple[str, ...]] = {
    Cause.HEALTHY: ("no harm", "harm not shown", "no shift", "no skew"),
    Cause.HARMLESS_SHIFT: ("shift", "no harm", "harm not shown", "still"),
    Cause.HARMFUL_COVARIATE_SHIFT: ("harm", "shift", "attribution", "trial retrain"),
    Cause.CONCEPT_DRIFT_SUDDEN: ("harm", "attribution", "trial retrain"),
    Cause.CONCEPT_DRIFT_GRADUAL: ("harm", "attribution", "trial retrain"),
    Cause.DATA_PIPELINE_FAULT: ("break", "harm", "trial fix_data"),
    Cause.BAD_DEPLOYMENT: ("deployment", "harm", "trial rollback", "emergency"),
    Cause.TRAINING_SERVING_SKEW: ("skew", "harm"),
    Cause.LABEL_FAULT: ("label fault", "harm", "trial retrain"),
    Cause.LABEL_DELAY: ("labels", "estimate"),
    Cause.SEASONAL: ("harm", "shift", "season", "trial retrain"),
    Cause.SEGMENT_SHIFT: ("slice", "harm", "trial retrain"),
    Cause.PRIOR_SHIFT: ("calibration", "trial recalibrate", "harm"),
    Cause.REFERENCE_STALE: ("stale", "no harm", "shift"),
    Cause.INSUFFICIENT_DATA: ("labels", "volume", "power", "harm not shown", "estimate"),
}
_AGAINST: dict[Cause, tuple[str, ...]] = {
    Cause.HEALTHY: ("harm", "break", "shift"),
    Cause.HARMLESS_SHIFT: ("harm", "break"),
    Cause.HARMFUL_COVARIATE_SHIFT: ("no shift", "break", "deployment"),
    Cause.CONCEPT_DRIFT_SUDDEN: ("break", "deployment", "no harm"),
    Cause.CONCEPT_DRIFT_GRADUAL: ("break", "deployment", "no harm"),
    Cause.DATA_PIPELINE_FAULT: ("no harm",),
    Cause.BAD_DEPLOYMENT: ("no harm", "break"),
    Cause.SEGMENT_SHIFT: ("no harm",),
    Cause.PRIOR_SHIFT: ("no harm",),
}
_REASONS: tuple[tuple[str, str, str, str], ...] = (
    ("no harm", "harmed model", "the loss is within tolerance", ""),
    ("no shift", "covariate shift", "no input moved", "shift"),
    ("no skew", "training-serving skew", "replayed answers equal the served ones", ""),
    ("still", "harm by the break", "the model does not use the column, or hardly", ""),
)


def conclude(case: Case, signals: decide.Signals) -> Diagnosis:
    """The diagnosis that the signals carry."""
    choice = decide.choose(signals)
    votes = _votes(case, signals)
    same = agreement(choice, votes)
    confidence = calibrated(same)
    blind = choice.act is Act.ROLLBACK and Act.ROLLBACK not in case.trials
    if blind:
        confidence = min(confidence, unlabelled.CONFIDENCE)
    if choice.cause is Cause.LABEL_FAULT and choice.act is Act.NO_ACTION:
        confidence = min(confidence, EITHER)
    causes = _ranked(case, choice, votes, confidence)
    verdict = verdict_of(choice.cause)
    if choice.cause is Cause.SEASONAL and choice.act is Act.NO_ACTION:
        verdict = Verdict.DRIFT_HARMLESS
    if verdict is Verdict.OK and choice.cause is Cause.INSUFFICIENT_DATA and signals.harm_low > signals.tolerance:
        verdict = Verdict.INCIDENT
    kind, why, escalate = choice.act, choice.why, False
    if kind.changes_model and confidence < ESCALATE_BELOW and not blind:
        kind, escalate = Act.NO_ACTION, True
        why = f"the evidence does not carry {choice.act.value} ({confidence:.0%}): {choice.why}; a person should choose"
    elif choice.cause in (Cause.HARMFUL_COVARIATE_SHIFT, Cause.LABEL_FAULT) and kind is Act.NO_ACTION:
        escalate = True
    elif kind is Act.WAIT_FOR_LABELS:
        why += unlabelled.reason(case)
        if unlabelled.is_worried(case):
            verdict, escalate = Verdict.INCIDENT, True
    action = Recommendation(kind, why, _parameters(case, kind, choice.act, signals), escalate)
    trials = tuple(sorted(case.trials.values(), key=lambda t: -t.gain))
    return Diagnosis(
        case.spec.name, verdict, causes, action, tuple(case.ledger.facts), tuple(case.not_checked),
        _ruled_out(case, choice), confidence, trials, case.spec.metric, same, case.shares,
        pictures(case),
    )  # fmt: skip


def agreement(choice: decide.Choice, votes: Counter[tuple[Cause, Act]]) -> float:
    """The share of votes for the chosen action; recalibrating and retraining agree that the model must learn anew."""
    learn = (Act.RECALIBRATE, Act.RETRAIN)
    same = learn if choice.act in learn else (choice.act,)
    return sum(n for (_, act), n in votes.items() if act in same) / max(sum(votes.values()), 1)


def calibrated(share: float) -> float:
    """The probability that goes with a vote share, from the benchmark of incidents (isotonic; `confidence.json`).

    >>> 0.0 <= calibrated(0.5) <= calibrated(1.0) <= 1.0
    True
    """
    path = Path(__file__).with_name("confidence.json")
    if not path.exists():
        return share
    table = json.loads(path.read_text(encoding="utf-8"))
    return float(np.interp(share, table["share"], table["probability"]))


def _votes(case: Case, signals: decide.Signals) -> Counter[tuple[Cause, Act]]:
    """Resample the labelled rows, run the whole table again, count what it says."""
    h = case.harm
    if h is None or len(case.loss) == 0:
        return Counter({(c.cause, c.act): 1 for c in [decide.choose(signals)]})
    rng = np.random.default_rng(case.seed)
    n = len(case.loss)
    stretch = float(np.sqrt(h.design_effect))
    weight = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) if n <= 4000 else rng.poisson(1.0, size=(DRAWS, n))
    own = weight[:, h.start :]
    mean = (own @ case.loss[h.start :]) / np.maximum(own.sum(axis=1), 1)
    base = rng.normal(0.0, float(case.base_loss.std()) / np.sqrt(max(len(case.base_loss), 1)), DRAWS)
    shifted = (mean - float(case.loss[h.start :].mean())) * stretch - base
    moves: dict[Act, Any] = {}
    for kind, t in case.trials.items():
        part = weight[:, case.places[kind]]
        drawn = (part @ t.gains) / np.maximum(part.sum(axis=1), 1) - float(t.gains.mean())
        paired = float(t.gains.std()) / np.sqrt(max(t.n, 1))
        extra = np.sqrt(max(t.se**2 - paired**2, 0.0))
        moves[kind] = drawn + rng.normal(0.0, extra, DRAWS)
    votes: Counter[tuple[Cause, Act]] = Counter()
    names = {Act.FIX_DATA: "fix", Act.ROLLBACK: "rollback", Act.RECALIBRATE: "recalibrate", Act.RETRAIN: "retrain"}
    for i in range(DRAWS):
        low = signals.harm_low + shifted[i] if h.harmed else h.difference + shifted[i] - Z_WHOLE * h.se
        changes: dict[str, Any] = {"harm": signals.harm + shifted[i], "harm_low": low}
        for kind, name in names.items():
            if kind in moves:
                gain = case.trials[kind].gain + moves[kind][i]
                changes[name] = decide.Gain(gain, gain - Z * case.trials[kind].se, case.trials[kind].ordinary)
        if not h.harmed and low > signals.tolerance:
            changes["harm_low"] = low
        c = decide.choose(replace(signals, **changes))
        votes[(c.cause, c.act)] += 1
    return votes


def _ranked(
    case: Case, choice: decide.Choice, votes: Counter[tuple[Cause, Act]], confidence: float
) -> tuple[RankedCause, ...]:
    by_cause: Counter[Cause] = Counter()
    for (cause, _), count in votes.items():
        by_cause[cause] += count
    total = sum(by_cause.values())
    others = [c for c, _ in by_cause.most_common() if c is not choice.cause]
    also = Cause.DATA_PIPELINE_FAULT if case.moving else None
    if also and also is not choice.cause and also not in others:
        others.append(also)
    rest = 1.0 - confidence
    weight = {c: by_cause[c] / total if by_cause[c] else 0.1 for c in others}
    scale = rest / max(sum(weight.values()), rest, 1e-9)
    out = [_cause(case, choice.cause, confidence)]
    out += [_cause(case, c, weight[c] * scale) for c in others]
    return tuple(out)


def _cause(case: Case, cause: Cause, probability: float) -> RankedCause:
    def cited(topics: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(number for topic in topics for number in case.cites.get(topic, []))

    onset: datetime | None = moment_of(case.harm.onset) if case.harm and case.harm.harmed else None
    features: tuple[str, ...] = ()
    segment: str | None = None
    if cause is Cause.DATA_PIPELINE_FAULT and case.moving:
        lead = case.moving[0]
        onset = moment_of(lead.onset)
        features = tuple(dict.fromkeys(f for b in case.moving for f in b.features))
        segment = "=".join(lead.segment) if lead.segment else None
    elif cause is Cause.BAD_DEPLOYMENT and case.rollout:
        onset = moment_of(case.rollout.moment)
    elif cause is Cause.TRAINING_SERVING_SKEW and case.skew:
        first = np.flatnonzero(case.skew.rows)
        onset = moment_of(case.frames.current["timestamp"].iloc[int(first[first >= case.skew.start][0])])
    elif cause is Cause.LABEL_FAULT:
        features = ("label",)
        if case.fault:
            onset = moment_of(case.usable["timestamp"].iloc[case.fault.start])
    elif cause is Cause.LABEL_DELAY:
        features, onset = ("label",), case.maturity.since if case.maturity else None
    elif cause is Cause.SEGMENT_SHIFT and case.slice:
        features, segment = (case.slice.column,), case.slice.text
    elif cause in (Cause.HARMLESS_SHIFT, Cause.HARMFUL_COVARIATE_SHIFT, Cause.SEASONAL, Cause.REFERENCE_STALE):
        features = tuple(s.feature for s in case.shifts[:5])
        if cause in (Cause.HARMLESS_SHIFT, Cause.REFERENCE_STALE):
            onset = None
    elif cause in (Cause.HEALTHY, Cause.INSUFFICIENT_DATA):
        onset = None
    return RankedCause(
        cause, probability, cited(_SUPPORT[cause]), cited(_AGAINST.get(cause, ())), onset, features, segment
    )


def _parameters(case: Case, kind: Act, intended: Act, signals: decide.Signals) -> dict[str, Any]:
    current = case.frames.current
    end = moment_of(current["timestamp"].max()) if len(current) else None
    if kind is Act.FIX_DATA and case.moving and not signals.skewed and not signals.label_fault:
        lead = case.moving[0]
        repair = lead.repair.parameters() if lead.repair else {}
        return {
            "features": sorted({f for b in case.moving for f in b.features}),
            "repair": "; ".join(b.remedy for b in case.moving),
            "onset": moment_of(lead.onset), "window_end": end, "notify": case.spec.owner_of_data,
            "segment": "=".join(lead.segment) if lead.segment else None, **repair,
        }  # fmt: skip
    if kind is Act.FIX_DATA:
        what, names = "serve the features as they are logged", []
        onset = None
        if signals.skewed and case.skew is not None:
            onset = moment_of(current["timestamp"].iloc[case.skew.start])
        if signals.label_fault and case.fault is not None:
            what, names, onset = (
                case.fault.repair,
                ["label"],
                moment_of(case.usable["timestamp"].iloc[case.fault.start]),
            )
        return {"features": names, "repair": what, "onset": onset, "window_end": end, "notify": case.spec.owner_of_data}
    if kind is Act.ROLLBACK and Act.ROLLBACK not in case.trials:
        return dict(unlabelled.rollback_parameters(case))
    if kind is Act.ROLLBACK:
        to = case.trials[Act.ROLLBACK].parameters["to_version"]
        before = case.rollout.before if case.rollout else None
        return {"to_version": before or to, "expected_version": case.rollout.version if case.rollout else None}
    if kind in (Act.RETRAIN, Act.RECALIBRATE):
        start = case.usable["timestamp"].min() if len(case.usable) else None
        return {"window_start": moment_of(start), "window_end": end, "labels": len(case.usable)}
    if kind is Act.REFRESH_REFERENCE:
        recent = case.frames.history["timestamp"]
        return {"window_start": moment_of(recent.min()), "window_end": moment_of(recent.max())}
    if kind is Act.WAIT_FOR_LABELS:
        needed = max(case.harm.needed if case.harm else 100, 30)
        return {"labels_needed": max(needed - len(case.usable), 1), "due": case.maturity.due if case.maturity else None}
    return {"instead_of": intended.value} if intended is not kind else {}


def _ruled_out(case: Case, choice: decide.Choice) -> tuple[RuledOut, ...]:
    out = [RuledOut(what, why, tuple(case.cites[topic])) for topic, what, why, _ in _REASONS if topic in case.cites]
    for kind, t in case.trials.items():
        if kind is choice.act:
            continue
        why = "its gain is not certain" if t.low <= 0 else "a less invasive action gains as much, or more"
        out.append(RuledOut(f"action {kind.value}", why, tuple(case.cites.get(f"trial {kind.value}", ()))))
    if case.frames.deployments.empty and not case.rollouts:
        out.append(RuledOut(Cause.BAD_DEPLOYMENT.value, "no version went live in or shortly before the window"))
    return tuple(out)


def meaning(cause: Cause) -> str:
    """What a cause says, for people."""
    return MEANING[cause]
