"""What can be seen without trying any action: labels, breaks, shifts, harm, skew. Each finding is a numbered fact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ml.diagnosis import breaks, harm, labels, replaying, shift, standin, trial
from ml.diagnosis.case import Case, healthy_rows
from ml.diagnosis.evidence import Kind
from ml.errors import DataError, SpecError
from ml.metrics import labelled, metric_interval, positives, probability, row_loss
from ml.monitors.maturity import maturity
from ml.results import Interval
from ml.spec import Task

MOVES, MOVES_CERTAINLY = 0.05, 0.005
"""How far a break must move predictions to matter, in standard deviations: one that may be none, a certain one."""


def gate_labels(case: Case) -> None:
    frames, spec = case.frames, case.spec
    m = maturity(spec, case.healthy, frames.current, frames.as_of)
    case.maturity = m
    case.usable = frames.current[m.usable]
    case.rows = np.flatnonzero(m.usable)
    share = f"{m.coverage:.0%}; {m.usual:.0%} is usual"
    text = f"{len(case.usable)} of {m.mature} rows that are old enough have a label ({share})"
    case.cite("labels", case.ledger.add(Kind.LABELS, text, m.coverage, n=m.mature, unit="share", source="maturity"))


def stand_in(case: Case) -> None:
    """Without a model, a surrogate answers the replays: learnt from the logged answers of the version that serves, or
    fitted on the labels of the reference where there are too few."""
    if case.model is not None:
        return
    from ml.models import recipes

    rows = case.healthy[case.healthy["prediction"].notna()]
    latest = case.frames.current["model_version"].dropna()
    own = rows[rows["model_version"] == latest.iloc[-1]] if len(latest) else rows
    rows = own if len(own) >= standin.MIN_ROWS else rows
    case.surrogate = True
    try:
        case.model = standin.learn(case.spec, rows, "surrogate", case.seed)
        case.imitates = case.model is not None
        how = f"learnt from the logged answers of {len(rows)} healthy rows"
        if case.model is None:
            case.model = recipes.fit(case.spec, case.healthy, seed=case.seed).with_version("surrogate")
            how = "fitted on the labels of the reference"
    except (DataError, SpecError) as error:
        case.surrogate = False
        case.note("replays of repairs", f"no model was given, and no surrogate could be fitted: {error}")
        return
    why = f"no model was given: a surrogate {how} replays repairs; training-serving skew is seen by its cost only"
    case.note("the model itself", why)


def stand_in_before(case: Case) -> None:
    """Where a version went live and the one before it was not given, what that answered stands in for it."""
    if case.previous is not None or not case.rollouts:
        return
    last = case.rollouts[-1]
    rows = pd.concat([case.healthy, case.frames.current.iloc[: last.start]], ignore_index=True)
    if last.before is not None:
        rows = rows[rows["model_version"] == last.before]
    try:
        case.before = standin.learn(case.spec, rows, last.before or "the version before", case.seed)
    except (DataError, SpecError) as error:
        case.note("rollback", f"the model before {last.version} was not given, nor can it be imitated: {error}")
        return
    if case.before is not None:
        why = f"the model before {last.version} was not given: a surrogate learnt from its logged answers replays it"
        case.note("the rollback itself", why)


def fill_answers(case: Case) -> None:
    """Rows without predictions (a table of features and labels only) are answered by the model or the surrogate."""
    frames, spec = case.frames, case.spec
    silent = {
        name: frame
        for name, frame in (("reference", frames.reference), ("current", frames.current), ("history", frames.history))
        if len(frame) and frame["prediction"].isna().all()
    }
    if not silent or case.model is None:
        return
    filled: dict[str, pd.DataFrame] = {}
    for name, frame in silent.items():
        if case.surrogate and name == "current" and "reference" not in silent:
            why = "the table has none, and a surrogate's answers say nothing of the model that gave the reference's"
            case.note(f"predictions of the {name} rows", why)
            continue
        if case.surrogate and name != "current":
            known = frame[frame["label"].notna()]
            try:
                answers = trial.out_of_fold(spec, known.iloc[:0], known, case.seed, True).reindex(frame.index)
            except (DataError, SpecError) as error:
                case.note(f"predictions of the {name} rows", str(error))
                continue
        else:
            answers = case.model.predict(frame)
        filled[name] = frame.assign(prediction=answers["prediction"], score=answers["score"])
        case.note(f"predictions of the {name} rows", f"the table has none; {case.model.version} answered instead")
    case.frames = replace(
        frames,
        reference=filled.get("reference", frames.reference),
        current=filled.get("current", frames.current),
        history=filled.get("history", frames.history),
    )
    case.healthy = healthy_rows(case.frames)


def look_for_breaks(case: Case) -> None:
    frames, spec = case.frames, case.spec
    case.breaks = breaks.find_breaks(spec, case.healthy, frames.current, frames.odd, frames.vanished)
    for item in case.breaks:
        used = any(spec.features[f].used for f in item.features)
        push = 0.0
        if used and case.model is not None:
            try:
                push = replaying.moved(spec, case.model, case.healthy, frames.current, item)
            except DataError as error:
                case.note(f"what the break of {item.features[0]!r} does to predictions", str(error))
                push = 1.0 if item.certain else 0.0
        moves = used and (push > (MOVES_CERTAINLY if item.certain else MOVES) or case.model is None)
        text = item.statement + (
            f"; it moves predictions by {push:.2g} standard deviations" if used else "; the model does not use it"
        )
        number = case.ledger.add(
            Kind.QUALITY, text, item.share, n=int(item.rows.sum()), unit="share of rows",
            source=f"breaks.{item.kind}", feature=item.features[0],
            facts={"kind": item.kind.value, "certain": item.certain, "moves": push},
        )  # fmt: skip
        case.cite("break" if moves else "still", number)
        if moves:
            case.moving.append(item)


def look_for_shifts(case: Case) -> None:
    frames, spec = case.frames, case.spec
    alpha = spec.monitors.drift.alpha / 5
    case.shifts = shift.shifts(spec, frames.reference, frames.current, alpha=alpha)
    for s in case.shifts[:8]:
        used = "" if s.used else "; the model does not use it"
        case.cite(
            "shift",
            case.ledger.add(
                Kind.DRIFT,
                f"{s.feature!r} moved by {s.effect:.2f}{used}",
                s.effect,
                n=s.n,
                unit="distance",
                source="shift.shifts",
                feature=s.feature,
            ),
        )
    if not case.shifts:
        case.cite(
            "no shift",
            case.ledger.add(
                Kind.DRIFT,
                "no input moved by more than sampling explains",
                0.0,
                n=len(frames.current),
                unit="columns",
                source="shift.shifts",
            ),
        )
    if case.shifts and len(frames.history) >= 200:
        recent = frames.history.tail(max(len(frames.current), 500))
        still = {x.feature: x.effect for x in shift.shifts(spec, recent, frames.current, alpha=0.5, floor=0.0)}
        gone = [x for x in case.shifts if still.get(x.feature, 0.0) < 0.4 * x.effect]
        case.like_history = len(gone) >= max(1, int(0.7 * len(case.shifts)))
        if case.like_history:
            case.cite(
                "stale",
                case.ledger.add(
                    Kind.DRIFT,
                    f"against the recent history {len(gone)} of {len(case.shifts)} shifts are gone",
                    len(gone),
                    n=len(recent),
                    unit="columns",
                    source="shift.shifts",
                ),
            )


def judge(case: Case) -> None:
    """Is it harmed: loss against the healthy rows, calibration in the large, and the headline metric."""
    spec, frames = case.spec, case.frames
    old = labelled(frames.history)
    base = old if len(old) >= 200 else pd.concat([labelled(frames.reference), old], ignore_index=True)
    usable = case.usable
    if len(base) < 30 or len(usable) < harm.MIN_LABELS:
        lacking = "healthy" if len(base) < 30 else "current mature"
        case.note(
            "whether the model is harmed",
            f"only {min(len(base), len(usable))} {lacking} rows have a prediction and a label; "
            f"{harm.MIN_LABELS} are needed",
        )
        case.baseline = base
        return
    if spec.task is Task.BINARY and (probability(spec, base) is None) != (probability(spec, usable) is None):
        base, usable = base.assign(score=np.nan), usable.assign(score=np.nan)
        case.note("probabilities", "scores are missing in the reference or the current rows, so losses are of 0 and 1")
    case.baseline, case.usable = base, usable
    case.base_loss, case.loss = row_loss(spec, base), row_loss(spec, usable)
    size = len(usable)
    whole = row_loss(spec, old) if len(old) else np.zeros(0)
    means = (
        np.array([w.mean() for w in np.array_split(whole, len(whole) // size)])
        if len(whole) >= 5 * size
        else np.zeros(0)
    )
    starts = tuple(
        int(np.searchsorted(case.rows, s)) for s in {*(r.start for r in case.rollouts), *(b.start for b in case.moving)}
    )
    h = harm.assess(
        case.base_loss,
        case.loss,
        usable["timestamp"],
        tolerance=spec.tolerance,
        window_means=means,
        starts=starts,
        clock=frames.clock,
    )
    case.harm = h
    part = "" if h.start == 0 else f" over the last {h.n} of them"
    unit = "" if spec.task is not Task.REGRESSION else "target"
    change = f"{h.difference:+.4g} (tolerance {h.tolerance:.3g})"
    text = f"mean loss {h.current:.4g}{part} against {h.baseline:.4g} before: {change}"
    band = Interval(h.low, h.high)
    number = case.ledger.add(Kind.LOSS, text, h.difference, interval=band, n=h.n, unit=unit, source="harm.assess")
    unshown = "no harm" if h.difference <= h.tolerance else "harm not shown"
    case.cite("harm" if h.harmed else unshown, number)
    if not h.harmed:
        case.cite(
            "power",
            case.ledger.add(
                Kind.POWER,
                f"a rise of {h.visible:.3g} would be seen; {h.needed} labels show one of the tolerance",
                h.visible,
                n=size,
                unit=unit,
                source="harm.assess",
            ),
        )
    before, _ = metric_interval(spec, base.tail(5000))
    now, spread = metric_interval(spec, usable.iloc[h.start :])
    if np.isfinite(now):
        case.cite(
            "metric",
            case.ledger.add(
                Kind.METRIC,
                f"{spec.metric} {now:.4g} against {before:.4g} before",
                now,
                interval=spread,
                n=h.n,
                unit=spec.metric,
                source="metrics.metric_interval",
            ),
        )
    p = probability(spec, usable) if spec.task is Task.BINARY else None
    p0 = probability(spec, base) if spec.task is Task.BINARY else None
    if p is not None and p0 is not None:
        gap, se = harm.calibration_gap(positives(spec, usable["label"]), p)
        gap0, se0 = harm.calibration_gap(positives(spec, base["label"]), p0)
        rise, rise_se = gap - gap0, float(np.hypot(se, se0)) * np.sqrt(h.design_effect)
        case.gap_broken = abs(rise) > 3.0 * rise_se and abs(rise) > 0.05
        text = f"outcomes exceed probabilities by {gap:+.3f} on average, against {gap0:+.3f} before"
        case.cite(
            "calibration",
            case.ledger.add(
                Kind.CALIBRATION,
                text,
                rise,
                interval=Interval(rise - 1.96 * rise_se, rise + 1.96 * rise_se),
                n=size,
                unit="probability",
                source="harm.calibration_gap",
            ),
        )
        case.ranking_lost = harm.ranking_lost(
            positives(spec, base["label"]), p0, positives(spec, usable["label"])[h.start :], p[h.start :]
        )
    case.fault = labels.label_fault(spec, base, usable, case.base_loss, h.start)
    if case.fault:
        case.cite(
            "label fault",
            case.ledger.add(
                Kind.LABELS,
                case.fault.statement,
                case.fault.value,
                n=case.fault.n,
                unit="",
                source="labels.label_fault",
            ),
        )


def check_skew(case: Case) -> None:
    if case.model is None or case.surrogate:
        return
    try:
        found = replaying.skew(case.spec, case.model, case.healthy, case.frames.current, case.breaks)
    except DataError as error:
        found = str(error)
    if isinstance(found, str):
        case.note("training-serving skew", found)
        return
    case.skew = found
    n = len(case.frames.current) if found is None else found.n
    text = (
        "the served answers are the model's own"
        if found is None
        else f"{found.share:.0%} of the served answers differ from what the model says to the logged inputs "
        f"({found.usual:.0%} before)"
    )
    case.cite(
        "skew" if found else "no skew",
        case.ledger.add(
            Kind.REPLAY, text, 0.0 if found is None else found.share, n=n, unit="share", source="replaying.skew"
        ),
    )
