"""The diagnosis: gates, breaks, harm, attribution, replay, decision, confidence; each step leaves numbered facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ml.diagnosis import attribution, breaks, decide, harm, labels, replaying, shift, trial
from ml.diagnosis.causes import Act
from ml.diagnosis.evidence import Kind, Ledger
from ml.diagnosis.intake import Frames, NotChecked
from ml.diagnosis.repair import Break, BreakKind
from ml.errors import DataError, InvalidInput, SpecError
from ml.metrics import Floats, labelled, metric_interval, positives, probability, row_loss
from ml.models.predictor import Predictor
from ml.monitors.maturity import Maturity, maturity
from ml.results import Interval
from ml.spec import FeatureType, ModelSpec, Task

MOVES = 0.05
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
    previous: Predictor | None = None
    breaks: list[Break] = field(default_factory=list)
    moving: list[Break] = field(default_factory=list)
    shifts: list[shift.Shift] = field(default_factory=list)
    like_history: bool = False
    maturity: Maturity | None = None
    usable: pd.DataFrame = field(default_factory=pd.DataFrame)
    rows: Any = None
    baseline: pd.DataFrame = field(default_factory=pd.DataFrame)
    base_loss: Floats = field(default_factory=lambda: np.zeros(0))
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    harm: harm.Harm | None = None
    gap_broken: bool = False
    skew: replaying.Skew | None = None
    fault: labels.LabelFault | None = None
    rollouts: list[replaying.Rollout] = field(default_factory=list)
    rollout: replaying.Rollout | None = None
    split: attribution.Attribution | None = None
    slice: attribution.Slice | None = None
    trials: dict[Act, trial.Trial] = field(default_factory=dict)
    places: dict[Act, Any] = field(default_factory=dict)
    ranking_lost: bool = False
    cites: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, why: str) -> None:
        self.not_checked.append(NotChecked(what, why))

    def cite(self, topic: str, number: str) -> None:
        self.cites.setdefault(topic, []).append(number)


def investigate(
    spec: ModelSpec, frames: Frames, model: Predictor | None, previous: Predictor | None, seed: int
) -> tuple[Case, decide.Signals]:
    """Gather the evidence and the signals that the decision table reads."""
    case = Case(spec, frames, seed, not_checked=list(frames.notes), model=model, previous=previous)
    case.healthy = _healthy(frames)
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
    _stand_in(case)
    _answers(case)
    _gate_labels(case)
    current = case.frames.current
    case.rollouts = replaying.rollouts(frames.reference, frames.history, current, frames.deployments)
    _look_for_breaks(case)
    _look_for_shifts(case)
    _judge(case)
    _check_skew(case)
    _replay(case)
    return case, _signals(case)


def _healthy(frames: Frames) -> pd.DataFrame:
    parts = [f for f in (frames.reference, frames.history) if len(f)]
    both = pd.concat(parts, ignore_index=True) if parts else frames.reference
    return both.tail(MOST_HEALTHY).reset_index(drop=True)


def _gate_labels(case: Case) -> None:
    frames, spec = case.frames, case.spec
    m = maturity(spec, case.healthy, frames.current, frames.as_of)
    case.maturity = m
    case.usable = frames.current[m.usable]
    case.rows = np.flatnonzero(m.usable)
    text = f"{len(case.usable)} of {m.mature} rows that are old enough have a label ({m.coverage:.0%}; {m.usual:.0%} is usual)"
    case.cite("labels", case.ledger.add(Kind.LABELS, text, m.coverage, n=m.mature, unit="share", source="maturity"))


def _stand_in(case: Case) -> None:
    """Without a model, a surrogate fitted on the reference answers the replays."""
    if case.model is not None:
        return
    from ml.models import recipes

    case.note(
        "the model itself",
        "no model was given: repairs are replayed on a surrogate fitted on the reference, training-serving skew is not checked",
    )
    try:
        case.model = recipes.fit(case.spec, case.healthy, seed=case.seed).with_version("surrogate")
        case.surrogate = True
    except (DataError, SpecError) as error:
        case.note("replays of repairs", f"no surrogate could be fitted: {error}")


def _answers(case: Case) -> None:
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
    case.frames = replace(frames, **filled)
    case.healthy = _healthy(case.frames)


def _look_for_breaks(case: Case) -> None:
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
        moves = used and (push > MOVES or case.model is None)
        text = item.statement + (
            f"; it moves predictions by {push:.2g} standard deviations" if used else "; the model does not use it"
        )
        number = case.ledger.add(
            Kind.QUALITY, text, item.share, n=int(item.rows.sum()), unit="share of rows", source=f"breaks.{item.kind}", feature=item.features[0],
            facts={"kind": item.kind.value, "certain": item.certain, "moves": push},
        )  # fmt: skip
        case.cite("break" if moves else "still", number)
        if moves:
            case.moving.append(item)


def _look_for_shifts(case: Case) -> None:
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


def _judge(case: Case) -> None:
    """Is it harmed: loss against the healthy rows, calibration in the large, and the headline metric."""
    spec, frames = case.spec, case.frames
    old = labelled(frames.history)
    base = old if len(old) >= 200 else pd.concat([labelled(frames.reference), old], ignore_index=True)
    usable = case.usable
    if len(base) < 30 or len(usable) < harm.MIN_LABELS:
        lacking = "healthy" if len(base) < 30 else "current mature"
        case.note(
            "whether the model is harmed",
            f"only {min(len(base), len(usable))} {lacking} rows have a prediction and a label; {harm.MIN_LABELS} are needed",
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
    case.cite("harm" if h.harmed else "no harm", case.ledger.add(
        Kind.LOSS, f"mean loss {h.current:.4g}{part} against {h.baseline:.4g} before: {h.difference:+.4g} (tolerance {h.tolerance:.3g})",
        h.difference, interval=Interval(h.low, h.high), n=h.n, unit=unit, source="harm.assess"))  # fmt: skip
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
    before, _ = metric_interval(spec, base.tail(5000), draws=60, seed=case.seed)
    now, band = metric_interval(spec, usable.iloc[h.start :], draws=60, seed=case.seed)
    if np.isfinite(now):
        case.cite(
            "metric",
            case.ledger.add(
                Kind.METRIC,
                f"{spec.metric} {now:.4g} against {before:.4g} before",
                now,
                interval=band,
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


def _search_by_replay(case: Case) -> None:
    """Breaks that leave each column looking as before (two alike columns swapped, a sign turned): only replay shows them."""
    h = case.harm
    if h is None or not h.harmed or case.moving or case.skew or case.fault or case.model is None or case.surrogate:
        return
    back = case.trials.get(Act.ROLLBACK)
    if back is not None and back.low > h.tolerance / 2:
        return
    rows = case.usable.iloc[h.start :]
    found = breaks.search_by_replay(case.spec, case.model, rows, case.loss[h.start :], h.difference, h.tolerance)
    if found is None:
        return
    repair, gain, low, high = found
    mask = np.zeros(len(case.frames.current), dtype=bool)
    mask[case.rows[h.start] :] = True
    moment = case.usable["timestamp"].iloc[h.start]
    text = f"{repair.describe()}: answers fit the labels again ({gain:+.3g} of {h.difference:+.3g} a row)"
    kind = BreakKind.SWAPPED if repair.swap else BreakKind.UNIT
    start = None if pd.isna(moment) else moment
    item = Break(kind, repair.features, mask, 1.0, start, None, repair, True, text, gain, int(case.rows[h.start]))
    case.breaks.append(item)
    case.moving.append(item)
    number = case.ledger.add(
        Kind.QUALITY, text, gain, interval=Interval(low, high), n=len(rows), unit="loss", source="breaks.search_by_replay",
        feature=repair.features[0],
    )  # fmt: skip
    case.cite("break", number)


def _check_skew(case: Case) -> None:
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
        else f"{found.share:.0%} of the served answers differ from what the model says to the logged inputs ({found.usual:.0%} before)"
    )
    case.cite(
        "skew" if found else "no skew",
        case.ledger.add(
            Kind.REPLAY, text, 0.0 if found is None else found.share, n=n, unit="share", source="replaying.skew"
        ),
    )


def _replay(case: Case) -> None:
    """Try the actions that the findings make thinkable; harm first."""
    spec, h = case.spec, case.harm
    if h is None:
        if case.previous is None:
            case.note("rollback", "no mature labels, and no earlier model to replay")
        return
    frame = case.usable.reset_index(drop=True)
    rows = case.rows
    _try_rollback(case, frame)
    _search_by_replay(case)
    _try_repairs(case, frame)
    harmed = h.harmed or case.gap_broken
    if not harmed:
        return
    start = h.start if len(frame) - h.start >= 60 else 0
    part, places = frame.iloc[start:].reset_index(drop=True), np.arange(start, len(frame))
    if (again := trial.recalibrate(spec, part, case.seed)) is not None:
        _record(case, again, places, "recalibrating")
    if h.harmed:
        clean = ~_touched(case)[start:]
        fixed = case.trials.get(Act.FIX_DATA)
        blamed = fixed is not None and fixed.gain >= decide.FIX_SHARE * h.difference
        if clean.mean() < 0.5 and not blamed:
            clean[:] = True
        if clean.mean() < 0.5:
            case.note(
                "retraining", "most of the rows are broken: nothing may be learnt from them before they are repaired"
            )
        else:
            _try_retraining(case, part[clean].reset_index(drop=True), places[clean])
        split_rows = case.usable.iloc[start:]
        case.split = attribution.attribute(
            spec, case.baseline, case.base_loss, split_rows, case.loss[start:], case.seed
        )
        if case.split is not None:
            s = case.split
            text = (
                "inputs and relation cannot be told apart: no overlap with the healthy rows"
                if s.apart
                else f"of the rise, {s.relation:+.3g} is a changed relation, {s.mix:+.3g} a harder mix, {s.unseen:+.3g} unseen inputs"
            )
            case.cite(
                "attribution",
                case.ledger.add(
                    Kind.ATTRIBUTION,
                    text,
                    s.relation,
                    interval=Interval(s.relation - 1.96 * s.relation_se, s.relation + 1.96 * s.relation_se),
                    n=len(split_rows),
                    unit="loss",
                    source="attribution.attribute",
                ),
            )
        found = attribution.slices(spec, case.baseline, case.base_loss, split_rows, case.loss[start:])
        if found:
            f = found[0]
            case.slice = next((x for x in found[:3] if spec.features[x.column].type is not FeatureType.NUMERIC), None)
            case.cite(
                "slice",
                case.ledger.add(
                    Kind.SLICE,
                    f"{f.text}: {f.share:.0%} of the rows carry {min(f.carries, 1):.0%} of the harm",
                    f.harm,
                    n=f.n,
                    unit="loss",
                    source="attribution.slices",
                    feature=f.column,
                ),
            )


def _touched(case: Case) -> Any:
    """Labelled rows that a break touches."""
    every = [b.rows[case.rows] for b in case.moving]
    return np.any(every, axis=0) if every else np.zeros(len(case.rows), dtype=bool)


def _try_repairs(case: Case, frame: pd.DataFrame) -> None:
    """Each suspected break alone first: one that is not certain must prove itself, a certain one must not be refuted."""

    def replay(found: list[Break], part: pd.DataFrame, rows: Any) -> trial.Trial:
        return trial.fix_data(case.spec, part, case.model, found, rows, case.baseline, case.frames.current)

    kept = []
    for item in case.moving:
        hit = item.rows[case.rows]
        if hit.sum() < 8:
            kept += [item] if item.certain else []
            continue
        alone = replay([item], frame[hit], case.rows[hit])
        if alone.low > 0 or (item.certain and (item.lost or alone.high > 0)):
            kept.append(item)
    case.moving = kept
    touched = _touched(case)
    if touched.sum() < 8:
        return
    first = int(np.flatnonzero(touched)[0])
    part, rows = frame.iloc[first:], case.rows[first:]
    result = replay(case.moving, part, rows)
    h = case.harm
    little = h is not None and h.harmed and result.gain < decide.FIX_SHARE * h.difference
    if little and not any(b.certain for b in kept):
        case.moving = []
        return
    what = "undoing the break: " + "; ".join(b.remedy for b in case.moving)
    _record(case, result, np.arange(first, len(frame)), what)


def _record(case: Case, result: trial.Trial, places: Any, what: str) -> None:
    case.trials[result.kind] = result
    case.places[result.kind] = places
    gained = f"gains {result.gain:+.4g} a row" + (
        f" beyond the {result.ordinary:.3g} that more data always gives" if result.ordinary else ""
    )
    text = f"{what} {gained} ({case.spec.metric} {result.metric_before:.4g} to {result.metric_after:.4g})"
    case.cite(
        f"trial {result.kind.value}",
        case.ledger.add(
            Kind.TRIAL,
            text,
            result.gain,
            interval=Interval(result.low, result.high),
            n=result.n,
            unit="loss",
            source=f"trial.{result.kind.value}",
        ),
    )


def _try_rollback(case: Case, frame: pd.DataFrame) -> None:
    if not case.rollouts:
        return
    last = case.rollouts[-1]
    case.rollout = last
    moment = "" if last.moment is None else f" at {last.moment:%Y-%m-%d %H:%M} UTC"
    case.cite(
        "deployment",
        case.ledger.add(
            Kind.DEPLOYMENT,
            f"version {last.version} went live{moment}" + (f" after {last.before}" if last.before else ""),
            None,
            n=len(frame),
            source="replaying.rollouts",
        ),
    )
    if case.previous is None:
        case.note("rollback", f"version {last.version} went live, but the model before it was not given")
        return
    if (
        last.before is not None
        and case.previous.version not in (last.before, "surrogate")
        and case.previous.version == last.version
    ):
        case.note("rollback", f"the model given as previous is {last.version} itself")
        return
    first = int(np.searchsorted(case.rows, last.start))
    part = frame.iloc[first:]
    if len(part) < harm.MIN_LABELS:
        case.note(
            "rollback",
            f"only {len(part)} labelled rows since version {last.version} went live; {harm.MIN_LABELS} are needed",
        )
        return
    try:
        result = trial.rollback(case.spec, part, case.previous)
    except DataError as error:
        case.note("rollback", str(error))
        return
    _record(case, result, np.arange(first, len(frame)), f"rolling back to {case.previous.version}")


def _try_retraining(case: Case, part: pd.DataFrame, places: Any) -> None:
    if len(part) < 60:
        case.note("retraining", f"{len(part)} mature labelled rows; 60 are needed to try it")
        return
    base = case.healthy[case.healthy["label"].notna()]
    try:
        result = trial.retrain(case.spec, base, part, case.seed)
    except (DataError, SpecError, InvalidInput) as error:
        case.note("retraining", str(error))
        return
    _record(case, result, places, "retraining")


def _signals(case: Case) -> decide.Signals:
    h, spec = case.harm, case.spec
    m = case.maturity

    def gain(kind: Act) -> decide.Gain | None:
        t = case.trials.get(kind)
        return None if t is None else decide.Gain(t.gain, t.low)

    at_deployment = False
    if case.rollout is not None and h is not None:
        first = int(np.searchsorted(case.rows, case.rollout.start))
        before, after = case.loss[:first], case.loss[first:]
        prior = float(before.mean()) if len(before) >= 30 else h.baseline
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
        doubtful=bool(h and h.doubtful and (h.visible > 4 * h.tolerance * np.sqrt(h.design_effect) or h.difference - h.se > h.tolerance)),
        harm=h.difference if h else 0.0,
        harm_low=(h.low if h.harmed else min(h.low, h.tolerance)) if h else 0.0,
        gradual=bool(h and h.gradual),
        calibration_broken=case.gap_broken,
        break_certain=any(b.certain for b in case.moving),
        break_moves=bool(case.moving),
        break_found=bool(case.moving),
        skewed=case.skew is not None,
        label_fault=case.fault is not None,
        ranking_lost=case.ranking_lost,
        at_deployment=at_deployment,
        drifted=bool(case.shifts),
        like_history=case.like_history,
        calendar=bool(used) and any(x.calendar for x in used),
        relation=s.relation if s else 0.0,
        inputs=(s.mix + s.unseen) if s else 0.0,
        apart=bool(s and s.apart),
        slice_carries=case.slice.carries if case.slice else 0.0,
        slice_rows=case.slice.share if case.slice else 1.0,
        fix=gain(Act.FIX_DATA), rollback=gain(Act.ROLLBACK), recalibrate=gain(Act.RECALIBRATE), retrain=gain(Act.RETRAIN),
    )  # fmt: skip


def moment_of(value: pd.Timestamp | None) -> datetime | None:
    return None if value is None or pd.isna(value) else value.to_pydatetime()
