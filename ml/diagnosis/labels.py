"""Labels that are broken: one class only, turned round, joined to the wrong rows, in another unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.metrics import Floats, as_class, positives, probability, row_loss
from ml.spec import FeatureType, ModelSpec, Task


@dataclass(frozen=True, slots=True)
class LabelFault:
    """A fingerprint of broken labels since row `start` of the labelled rows."""

    statement: str
    start: int
    n: int
    value: float
    repair: str


def label_fault(
    spec: ModelSpec, baseline: pd.DataFrame, frame: pd.DataFrame, base_loss: Floats, start: int
) -> LabelFault | None:
    """Labels that became one class, were turned round, or joined to the wrong rows (frame in order of time)."""
    if len(frame) < 30 or len(baseline) < 30:
        return None
    bound = float(base_loss.mean()) + 0.25 * float(base_loss.std())
    if spec.task is Task.REGRESSION:
        return _stuck(baseline, frame) or _shifted(spec, baseline, frame.iloc[start:], bound, start)
    names, before = as_class(frame["label"]), as_class(baseline["label"])
    last = names[-1]
    run = len(names) - int(np.flatnonzero(names != last)[-1]) - 1 if (names != last).any() else len(names)
    share = float((before == last).mean())
    if run >= 25 and _odds(spec, frame.tail(run), last, share) < np.log(1e-7):
        return LabelFault(
            f"the last {run} labels are all {str(last)!r}; {share:.0%} were before",
            len(names) - run,
            run,
            float(run),
            "send the labels again",
        )
    part = frame.iloc[start:]
    if len(part) < 30 or float(row_loss(spec, part).mean()) < bound:
        return None
    if spec.task is Task.BINARY:
        truth = positives(spec, part["label"])
        other = next((v for v in np.unique(before) if v != as_class([spec.positive])[0]), "0")
        turned = part.assign(label=np.where(truth == 1, other, str(spec.positive)))
        loss = float(row_loss(spec, turned).mean())
        if loss < bound:
            return LabelFault(
                "the labels fit the scores as before once they are turned round",
                start,
                len(part),
                loss,
                "swap the two classes of the labels",
            )
    return _shifted(spec, baseline, part, bound, start)


def _stuck(baseline: pd.DataFrame, frame: pd.DataFrame) -> LabelFault | None:
    """One number as the label of all of the last rows, though it was rare before."""
    values = frame["label"].to_numpy(np.float64)
    last = values[-1]
    run = len(values) - int(np.flatnonzero(values != last)[-1]) - 1 if (values != last).any() else len(values)
    share = float((baseline["label"].to_numpy(np.float64) == last).mean())
    if run < 25 or share > 0.3:
        return None
    text = f"the last {run} labels are all {last:g}; {share:.0%} were before"
    return LabelFault(text, len(values) - run, run, float(run), "send the labels again")


NO_SKILL, USUAL_SKILL, BLURRED = 0.08, 0.35, 0.7


def without_skill(before: float, skill: float, error: float, n: int, start: int) -> LabelFault | None:
    """Labels that nothing predicts any more, not even a model that has learnt from them, though the inputs predicted
    them well `before`: they belong to other rows. skill, error: see `trial.skill_of`, on n rows."""
    if n < 100 or not before > USUAL_SKILL or not (skill < NO_SKILL and skill + 1.64 * error < before / 2):
        return None
    text = f"no input predicts the labels any more: a model that learnt from them follows them by {skill:.2f}"
    return LabelFault(
        f"{text}, the model's did by {before:.2f}", start, n, skill, "join the labels to their rows again"
    )


def blurred(before: float, served: float, skill: float, error: float, n: int) -> bool:
    """Whether outcomes follow the inputs much less than they did, and a model that learnt from them ranks them no
    better than the one that answers: wrong labels among right ones, or more chance in the world. before, served: the
    skill of the answers then and now; skill, error: of a model that has learnt, see `trial.skill_of`, on n rows."""
    return n >= 300 and before > USUAL_SKILL and skill + 2 * error < BLURRED * before and served > skill - error


def predicted_somewhere(spec: ModelSpec, rows: pd.DataFrame, usual: float) -> bool:
    """Whether in some half of the rows, by any input, the served answers still follow the labels: then the world has
    changed in the other half, and the labels are where they belong. rows: with answers and labels."""
    from ml.diagnosis.trial import skill_of

    for name in spec.used_features:
        column = rows[name]
        if spec.features[name].type is FeatureType.NUMERIC:
            middle = column.median()
            sides = [(column <= middle).to_numpy(), (column > middle).to_numpy()]
        else:
            common = column.astype(str).value_counts().index[:3]
            sides = [(column.astype(str) == level).to_numpy() for level in common]
        for inside in sides:
            if inside.sum() < 40 or rows.loc[inside, "label"].nunique() < 2:
                continue
            skill, error = skill_of(spec, rows.loc[inside, "label"], rows.loc[inside])
            if skill - 2.6 * error > 0 and skill > usual / 3:
                return True
    return False


def _odds(spec: ModelSpec, run: pd.DataFrame, last: str, share: float) -> float:
    """Log probability of a run of one class: by the scores where there are some (easy cases), else by its share."""
    by_share = len(run) * float(np.log(max(share, 1e-9)))
    score = probability(spec, run) if spec.task is Task.BINARY else None
    if score is None:
        return by_share
    chance = score if last == as_class([spec.positive])[0] else 1 - score
    return max(by_share, float(np.log(np.clip(chance, 0.02, 1.0)).sum()))


def _shifted(
    spec: ModelSpec, baseline: pd.DataFrame, part: pd.DataFrame, bound: float, start: int
) -> LabelFault | None:
    now = float(row_loss(spec, part).mean()) if len(part) >= 30 else 0.0
    if len(part) < 30 or now < bound:
        return None
    for lag in (1, -1, 2, -2, 3, -3):
        moved = part.assign(label=part["label"].shift(lag)).dropna(subset=["label"])
        loss = float(row_loss(spec, moved).mean())
        if loss < bound and loss < 0.7 * now:
            return LabelFault(
                f"the labels fit as before once moved by {lag} rows",
                start,
                len(part),
                loss,
                f"join the labels {lag:+d} rows away",
            )
    if spec.task is Task.REGRESSION:
        ratio = float(part["label"].abs().median()) / max(float(baseline["label"].abs().median()), 1e-12)
        if 0.25 < ratio < 4:
            return None
        for factor in (1000.0, 100.0, 10.0, 60.0, 1e-3, 1e-2, 0.1, 1 / 60):
            loss = float(row_loss(spec, part.assign(label=part["label"].astype(float) * factor)).mean())
            if loss < bound and loss < 0.7 * now:
                return LabelFault(
                    f"the labels fit as before once multiplied by {factor:g}",
                    start,
                    len(part),
                    loss,
                    f"multiply the labels by {factor:g}",
                )
    return None
