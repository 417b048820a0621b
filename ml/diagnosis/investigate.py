"""The diagnosis: gates, breaks, harm, replay, attribution; each step leaves numbered facts. Then the signals."""

from __future__ import annotations

import numpy as np

from ml.diagnosis import decide, harm, replaying
from ml.diagnosis.blame import share_inputs
from ml.diagnosis.case import Case, healthy_rows
from ml.diagnosis.causes import Act
from ml.diagnosis.evidence import Kind
from ml.diagnosis.findings import (
    check_skew,
    fill_answers,
    gate_labels,
    judge,
    look_for_breaks,
    look_for_shifts,
    stand_in,
    stand_in_before,
)
from ml.diagnosis.intake import Frames
from ml.diagnosis.replays import replay_actions
from ml.diagnosis.seasons import look_for_seasons
from ml.diagnosis.unchecked import name_columns
from ml.diagnosis.unlabelled import look_without_labels
from ml.models.predictor import Predictor
from ml.spec import ModelSpec


def investigate(
    spec: ModelSpec, frames: Frames, model: Predictor | None, previous: Predictor | None, seed: int
) -> tuple[Case, decide.Signals]:
    """Gather the evidence and the signals that the decision table reads."""
    case = Case(spec, frames, seed, not_checked=list(frames.notes), model=model, previous=previous)
    case.healthy = healthy_rows(frames)
    current = frames.current
    case.cite(
        "volume",
        case.ledger.add(
            Kind.VOLUME,
            f"{len(current)} current rows, {len(case.healthy)} healthy rows to compare with",
            len(current),
            n=len(current),
            unit="rows",
            source="rows",
        ),
    )
    if len(current) < 20 or len(case.healthy) < 20:
        case.note(
            "everything that compares rows",
            f"{len(current)} current and {len(case.healthy)} healthy rows; 20 of each are needed",
        )
        return case, decide.Signals(tolerance=spec.tolerance or 0.0, rows=min(len(current), len(case.healthy)))
    stand_in(case)
    fill_answers(case)
    gate_labels(case)
    current = case.frames.current
    case.rollouts = replaying.rollouts(frames.reference, frames.history, current, frames.deployments)
    stand_in_before(case)
    look_for_breaks(case)
    name_columns(case)
    look_for_shifts(case)
    look_for_seasons(case)
    judge(case)
    check_skew(case)
    replay_actions(case)
    share_inputs(case)
    look_without_labels(case)
    return case, _signals(case)


def _signals(case: Case) -> decide.Signals:
    h, spec = case.harm, case.spec
    m = case.maturity

    def gain(kind: Act) -> decide.Gain | None:
        t = case.trials.get(kind)
        return None if t is None else decide.Gain(t.gain, t.low, t.ordinary)

    at_deployment = False
    if case.rollout is not None and h is not None:
        first = int(np.searchsorted(case.rows, case.rollout.start))
        before, after = case.loss[:first], case.loss[first:]
        prior = float(before.mean()) if len(before) >= 100 else h.baseline
        if len(after) >= harm.MIN_LABELS:
            step = float(after.mean()) - prior
            paired = gain(Act.ROLLBACK)
            at_deployment = step - 1.64 * float(after.std() / np.sqrt(len(after))) > h.tolerance / 2
            at_deployment |= paired is not None and paired.low > h.tolerance / 2 and step > 0
    s = case.split
    used = [x for x in case.shifts if x.used]
    return decide.Signals(
        tolerance=h.tolerance if h else spec.tolerance or 0.0,
        rows=len(case.frames.current),
        labels=len(case.usable),
        labels_overdue=bool(m and m.overdue),
        likely=bool(h and h.likely),
        doubtful=bool(h and h.inconclusive),
        harm=h.difference if h else 0.0,
        harm_low=(h.low if h.harmed else min(h.low, h.tolerance)) if h else 0.0,
        gradual=bool(h and h.gradual),
        calibration_broken=case.gap_broken,
        break_certain=any(b.certain for b in case.moving),
        break_moves=bool(case.moving),
        break_plain=any(b.plain for b in case.moving),
        break_found=bool(case.moving),
        skewed=case.skew is not None,
        label_fault=case.fault is not None,
        ranking_lost=case.ranking_lost,
        blurred=case.blurred,
        at_deployment=at_deployment,
        emergency=bool(case.emergency and case.emergency.grave),
        drifted=bool(case.shifts),
        like_history=case.like_history,
        in_season=case.season is not None,
        calendar=bool(used) and any(x.calendar for x in used),
        relation=s.relation if s else 0.0,
        relation_low=s.relation - 1.96 * s.relation_se if s else 0.0,
        inputs=(s.mix + s.unseen) if s else 0.0,
        apart=bool(s and s.apart),
        slice_carries=case.slice.carries if case.slice else 0.0,
        slice_rows=case.slice.share if case.slice else 1.0,
        fix=gain(Act.FIX_DATA),
        rollback=gain(Act.ROLLBACK),
        recalibrate=gain(Act.RECALIBRATE),
        retrain=gain(Act.RETRAIN),
    )
