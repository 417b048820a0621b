"""Try the actions that the findings make thinkable, harm first, and attribute what remains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ml.diagnosis import attribution, decide, harm, labels, replaying, search, trial
from ml.diagnosis.case import Case
from ml.diagnosis.causes import Act
from ml.diagnosis.evidence import Kind
from ml.diagnosis.repair import Break, BreakKind
from ml.errors import DataError, InvalidInput, SpecError
from ml.metrics import positives
from ml.results import Interval
from ml.spec import FeatureType, Task


def replay_actions(case: Case) -> None:
    """Try the actions that the findings make thinkable; harm first."""
    spec, h = case.spec, case.harm
    if h is None:
        if case.previous is None and case.before is None:
            case.note("rollback", "no mature labels, and no earlier model to replay")
        return
    frame = case.usable.reset_index(drop=True)
    _try_rollback(case, frame)
    _answers_of_another(case, frame)
    _search_by_replay(case)
    _try_repairs(case, frame)
    harmed = h.harmed or h.likely or case.gap_broken
    if not harmed:
        return
    start = _learn_from(case)
    part, places = frame.iloc[start:].reset_index(drop=True), np.arange(start, len(frame))
    judged = places >= h.start if h.harmed else np.ones(len(places), dtype=bool)
    if (again := trial.recalibrate(spec, part, judged)) is not None:
        _record(case, again, places[judged], "recalibrating")
    if h.harmed or h.likely:
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
            _try_retraining(case, part[clean].reset_index(drop=True), places[clean], judged[clean])
        split_rows = case.usable.iloc[start:]
        case.split = attribution.attribute(
            spec, case.baseline, case.base_loss, split_rows, case.loss[start:], case.seed
        )
        if case.split is not None:
            s = case.split
            text = (
                "inputs and relation cannot be told apart: no overlap with the healthy rows"
                if s.apart
                else f"of the rise, {s.relation:+.3g} is a changed relation, {s.mix:+.3g} a harder mix, "
                f"{s.unseen:+.3g} unseen inputs"
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
            named = [x for x in found[:3] if spec.features[x.column].type is not FeatureType.NUMERIC and x.alone]
            case.slice = next((x for x in named if x.carries * x.harm > 0.8 * f.carries * f.harm), None)
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


def _answers_of_another(case: Case, frame: pd.DataFrame) -> None:
    """Without the model: an imitation of what it answered before does as well as ever on these rows, and what was
    served does not. Then neither the world nor the inputs changed: something else answers, or is fed something else."""
    h = case.harm
    if not case.imitates or h is None or not h.harmed or case.moving or case.fault or case.rollouts or not case.model:
        return
    part = frame.iloc[h.start :]
    again = trial.answer(
        case.spec, case.model, part, bool(case.spec.task is Task.BINARY and part["score"].notna().all())
    )
    gained = trial.compare(case.spec, Act.FIX_DATA, part, again)
    if gained.low <= h.tolerance / 2 or gained.gain < decide.RESTORED * h.difference:
        return
    case.skew = replaying.imitated_skew(
        case.spec, case.model, case.healthy, case.frames.current, int(case.rows[h.start])
    )
    text = (
        f"an imitation of the model's earlier answers loses {gained.gain:.3g} a row less than what was served, of "
        f"{h.difference:+.3g}: the served answers are no longer its own"
    )
    number = case.ledger.add(
        Kind.REPLAY, text, gained.gain, interval=Interval(gained.low, gained.high), n=gained.n, unit="loss",
        source="standin.learn",
    )  # fmt: skip
    case.cite("skew", number)


def _search_by_replay(case: Case) -> None:
    """Breaks that leave each column as it was (two alike columns swapped, a sign turned): only replay shows them."""
    h = case.harm
    if h is None or not (h.harmed or h.likely) or case.moving or case.skew or case.fault or case.model is None:
        return
    if case.surrogate and not case.imitates:
        return
    back = case.trials.get(Act.ROLLBACK)
    if back is not None and back.low > h.tolerance / 2:
        return
    rows = case.usable.iloc[h.start :]
    found = search.search_by_replay(
        case.spec, case.model, case.baseline, rows, case.loss[h.start :], h.difference, h.tolerance
    )
    if found is None:
        return
    repair, gain, low, high = found
    mask = np.zeros(len(case.frames.current), dtype=bool)
    mask[case.rows[h.start] :] = True
    moment = case.usable["timestamp"].iloc[h.start]
    text = f"{repair.describe()}: answers fit the labels again ({gain:+.3g} of {h.difference:+.3g} a row)"
    kind = BreakKind.SWAPPED if repair.swap else BreakKind.LAGGED if repair.lag else BreakKind.UNIT
    kind = BreakKind.RENAME if repair.mapping else kind
    start = None if pd.isna(moment) else moment
    item = Break(kind, repair.features, mask, 1.0, start, None, repair, True, text, gain, int(case.rows[h.start]))
    case.breaks.append(item)
    case.moving.append(item)
    number = case.ledger.add(
        Kind.QUALITY, text, gain, interval=Interval(low, high), n=len(rows), unit="loss",
        source="search.search_by_replay", feature=repair.features[0],
    )  # fmt: skip
    case.cite("break", number)


def _learn_from(case: Case) -> int:
    """The labelled row from which a new map or model is tried: where the change begins, at least 200 rows."""
    h, n = case.harm, len(case.usable)
    if h is None:
        return 0
    start = min(h.start, h.first) if h.gradual else h.start
    if not h.harmed and case.spec.task is Task.BINARY:
        rest = positives(case.spec, case.usable["label"]) - case.usable["score"].to_numpy(np.float64)
        at, strength = harm.step(rest, max(20, n // 20))
        start = at if strength > 3.2 else 0
    return max(min(start, n - 200), 0)


def _touched(case: Case) -> Any:
    """Labelled rows that a break touches."""
    every = [b.rows[case.rows] for b in case.moving]
    return np.any(every, axis=0) if every else np.zeros(len(case.rows), dtype=bool)


def _worse_there(case: Case, hit: Any) -> bool:
    """Whether the rows with lost values have a clearly higher loss than the others (or than before)."""
    inside = case.loss[hit]
    outside = case.loss[~hit] if (~hit).sum() >= 30 else case.base_loss
    error = np.hypot(inside.std() / np.sqrt(len(inside)), outside.std() / np.sqrt(max(len(outside), 1)))
    return bool(inside.mean() - outside.mean() > 2.6 * error)


def _try_repairs(case: Case, frame: pd.DataFrame) -> None:
    """Each suspected break alone: one that is not certain must prove itself, a certain one must not be refuted."""

    def replay(found: list[Break], part: pd.DataFrame, rows: Any) -> trial.Trial:
        return trial.fix_data(case.spec, part, case.model, found, rows, case.baseline, case.frames.current)

    kept = []
    for item in case.moving:
        hit = item.rows[case.rows]
        if hit.sum() < 8:
            kept += [item] if item.certain else []
            continue
        alone = replay([item], frame[hit], case.rows[hit])
        proven = alone.low > 0 if item.repair is not None else _worse_there(case, hit)
        if proven or (item.certain and (item.lost or item.plain or alone.high > 0)):
            kept.append(item)
        elif item.kind is BreakKind.RENAME:  # the values are strange for certain; what they stood for is not known
            kept.append(replace(item, kind=BreakKind.NEW_CATEGORY, repair=None))
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
    previous = case.previous or case.before
    if previous is None:
        case.note("rollback", f"version {last.version} went live, but the model before it was not given")
        return
    if last.before is not None and previous.version == last.version != last.before:
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
        result = trial.rollback(case.spec, part, previous)
    except DataError as error:
        case.note("rollback", str(error))
        return
    _record(case, result, np.arange(first, len(frame)), f"rolling back to {previous.version}")


def _try_retraining(case: Case, part: pd.DataFrame, places: Any, judged: Any) -> None:
    if len(part) < 60:
        case.note("retraining", f"{len(part)} mature labelled rows; 60 are needed to try it")
        return
    base = case.healthy[case.healthy["label"].notna()]
    try:
        result = trial.retrain(case.spec, base, part, judged, case.seed)
    except (DataError, SpecError, InvalidInput) as error:
        case.note("retraining", str(error))
        return
    _record(case, result, places[judged], "retraining")
    h = case.harm
    if h is None or case.moving or case.fault is not None:
        return
    usual, _ = trial.skill_of(case.spec, case.baseline["label"], case.baseline)
    served, _ = trial.skill_of(case.spec, part["label"][judged], part[judged])
    case.blurred = case.ranking_lost and labels.blurred(usual, served, *result.skill, result.n)
    fault = labels.without_skill(usual, *result.skill, result.n, h.start)
    if fault is not None and not labels.predicted_somewhere(case.spec, case.usable.iloc[h.start :], usual):
        case.fault = fault
        case.cite("label fault", case.ledger.add(
            Kind.LABELS, fault.statement, fault.value, n=fault.n, unit="share", source="labels.without_skill",
        ))  # fmt: skip
