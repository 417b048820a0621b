"""Champion against challenger on the same later labelled rows: the acceptance gate.

A challenger is accepted on the lower bound of its paired gain, never on a point estimate, and not when a segment
gets clearly worse. Too few rows to tell is `inconclusive`, not `reject`. (The block bootstrap is Künsch 1989,
Annals of Statistics 17.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError
from ml.metrics import Floats, as_class, labelled, metric_interval, positives, probability, row_loss
from ml.models.predictor import Predictor
from ml.results import Interval
from ml.spec import FeatureType, ModelSpec, Task

MIN_ROWS = 50
MIN_SEGMENT = 30
DRAWS = 500
MAX_LEVELS = 20
SLOWER = 3.0  # times the champion's latency that needs a person's eye
_SLOW_ENOUGH_TO_MATTER = 0.5  # milliseconds a row
TIMED = 500  # rows


class Verdict(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Scored:
    """One side: its version, headline metric with interval, mean row loss, and milliseconds a row."""

    version: str
    metric: float
    interval: Interval | None
    loss: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class SegmentGain:
    """Gain of the challenger within one segment, and whether its whole interval is below zero."""

    segment: str
    n: int
    gain: float
    interval: Interval
    worse: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the gate saw. gain: mean of (champion's row loss - challenger's), positive where the challenger is better,
    in the unit of the row loss; None when nothing could be compared. reason: one sentence for a person."""

    verdict: Verdict
    reason: str
    n: int
    champion: Scored | None = None
    challenger: Scored | None = None
    gain: float | None = None
    interval: Interval | None = None
    margin: float = 0.0
    segments: tuple[SegmentGain, ...] = ()


def compare(
    spec: ModelSpec,
    champion: Predictor,
    challenger: Predictor,
    frame: pd.DataFrame,
    *,
    seed: int = 0,
    margin: float = 0.0,
) -> Comparison:
    """Score both on the labelled rows of `frame` (features, label, timestamp) that neither was trained on.

    accept: the gain's 95 % lower bound is above `margin`, and no segment with 30 rows or more is clearly worse.
    reject: the upper bound is not above `margin`, a segment is clearly worse, calibration is clearly worse, or the
    challenger cannot score the rows. inconclusive: neither, or fewer than 50 labelled rows.
    Raises: DataError when the champion cannot score the rows.
    """
    rows = frame[frame["label"].notna()] if "label" in frame else frame.iloc[0:0]
    if spec.task is Task.REGRESSION and len(rows):
        rows = rows[np.isfinite(pd.to_numeric(rows["label"], errors="coerce").to_numpy(np.float64, na_value=np.nan))]
    if "timestamp" in rows:
        rows = rows.sort_values("timestamp", kind="stable")
    rows = rows.reset_index(drop=True)
    if len(rows) < MIN_ROWS:
        return Comparison(
            Verdict.INCONCLUSIVE,
            f"Only {len(rows)} later rows have a label and {MIN_ROWS} are needed; wait for labels.",
            len(rows),
        )
    old, old_ms = _answers(champion, rows)
    try:
        new, new_ms = _answers(challenger, rows)
    except DataError as error:
        return Comparison(
            Verdict.REJECT, f"The challenger cannot score the rows that the champion scores: {error}", len(rows)
        )
    losses = row_loss(spec, old), row_loss(spec, new)
    difference = losses[0] - losses[1]
    usable = np.isfinite(difference)
    if not usable.all():
        return Comparison(Verdict.REJECT, f"{int((~usable).sum())} of {len(rows)} rows have no finite loss.", len(rows))
    blocks = _blocks(spec, rows)
    gain, interval = paired_gain(difference, blocks, seed=seed)
    segments = _segments(spec, rows, difference, blocks, seed)
    sides = [
        Scored(model.version, *metric_interval(spec, labelled(scored)), float(loss.mean()), ms)
        for model, scored, loss, ms in ((champion, old, losses[0], old_ms), (challenger, new, losses[1], new_ms))
    ]
    verdict, reason = _judge(spec, gain, interval, margin, segments, _calibration(spec, old, new, blocks, seed), sides)
    return Comparison(verdict, reason, len(rows), sides[0], sides[1], gain, interval, margin, segments)


def paired_gain(
    difference: Floats, blocks: npt.NDArray[np.intp], *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> tuple[float, Interval]:
    """Mean of paired differences and its block-bootstrap interval; `blocks` numbers the block of each row.

    >>> gain, interval = paired_gain(np.ones(100), np.arange(100) // 10)
    >>> gain, interval.low, interval.high
    (1.0, 1.0, 1.0)
    """
    count = int(blocks.max()) + 1
    sums = np.bincount(blocks, weights=difference, minlength=count)
    sizes = np.bincount(blocks, minlength=count)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, count, (draws, count))
    means = sums[picks].sum(axis=1) / np.maximum(sizes[picks].sum(axis=1), 1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(difference.mean()), Interval(float(low), float(high), level)


def _answers(model: Predictor, rows: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """The rows with a model's answers, and milliseconds of processor time a row.

    The first answer pays for what is done once, and a busy machine for others' work: neither is the model's.
    """
    answer = model.predict(rows)
    some, seconds = rows.head(TIMED), []
    for _ in range(3):
        started = time.process_time()
        model.predict(some)
        seconds.append(time.process_time() - started)
    bare = rows.drop(columns=["prediction", "score"], errors="ignore")
    return bare.join(answer), min(seconds) * 1000 / len(some)


def _blocks(spec: ModelSpec, rows: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Rows that belong together: of one entity where the spec has one, else consecutive rows (about n to the 1/3)."""
    if spec.entity and spec.entity in rows and rows[spec.entity].nunique() > 1:
        return np.asarray(pd.factorize(rows[spec.entity], use_na_sentinel=False)[0], dtype=np.intp)
    return np.asarray(np.arange(len(rows)) // max(1, round(len(rows) ** (1 / 3))), dtype=np.intp)


def _segments(
    spec: ModelSpec, rows: pd.DataFrame, difference: Floats, blocks: npt.NDArray[np.intp], seed: int
) -> tuple[SegmentGain, ...]:
    """Gain inside each level of the spec's segments; the error is shared out over all that are looked at."""
    masks: list[tuple[str, npt.NDArray[np.bool_]]] = []
    for column in spec.segments:
        if column not in rows:
            continue
        values = rows[column]
        if spec.features[column].type is FeatureType.NUMERIC and values.nunique() > MAX_LEVELS:
            values = pd.qcut(pd.to_numeric(values, errors="coerce"), 4, duplicates="drop")
        names = as_class(values.astype(object))
        masks += [(f"{column}={name}", names == name) for name in pd.Series(names).value_counts().index[:MAX_LEVELS]]
    masks = [(name, mask) for name, mask in masks if mask.sum() >= MIN_SEGMENT]
    gains = []
    for name, mask in masks:
        inside = pd.factorize(blocks[mask])[0].astype(np.intp)
        gain, interval = paired_gain(difference[mask], inside, level=1 - 0.05 / len(masks), draws=1000, seed=seed)
        gains.append(SegmentGain(name, int(mask.sum()), gain, interval, worse=interval.high < 0))
    return tuple(gains)


def _calibration(
    spec: ModelSpec, old: pd.DataFrame, new: pd.DataFrame, blocks: npt.NDArray[np.intp], seed: int
) -> str | None:
    """What to say when the challenger's mean probability is off by clearly more than the champion's was."""
    if spec.task is not Task.BINARY:
        return None
    p_old, p_new = probability(spec, old), probability(spec, new)
    if p_old is None or p_new is None:
        return None
    truth = positives(spec, old["label"])
    off_old = abs(float((p_old - truth).mean()))
    off_new, interval = paired_gain(p_new - truth, blocks, seed=seed)
    clear = interval.low > off_old + 0.02 or interval.high < -off_old - 0.02
    if not clear:
        return None
    return f"its mean probability is off by {off_new:+.3f}, the champion's by {off_old:.3f}"


def _judge(
    spec: ModelSpec,
    gain: float,
    interval: Interval,
    margin: float,
    segments: tuple[SegmentGain, ...],
    calibration: str | None,
    sides: list[Scored],
) -> tuple[Verdict, str]:
    old, new = sides
    seen = (
        f"{spec.metric} {old.metric:.3g} -> {new.metric:.3g}; mean row loss {old.loss:.4g} -> {new.loss:.4g}, "
        f"gain {gain:.3g} (95 % {interval.low:.3g} to {interval.high:.3g})"
    )
    worse = [segment for segment in segments if segment.worse]
    checks: list[tuple[Callable[[], bool], Verdict, str]] = [
        (lambda: interval.high <= margin, Verdict.REJECT, f"The challenger is no better: {seen}."),
        (
            lambda: bool(worse),
            Verdict.REJECT,
            f"The challenger is clearly worse where {', '.join(s.segment for s in worse)}: {seen}.",
        ),
        (lambda: interval.low <= margin, Verdict.INCONCLUSIVE, f"The rows do not carry a decision: {seen}."),
        (
            lambda: calibration is not None,
            Verdict.REJECT,
            f"The challenger is badly calibrated, {calibration}: {seen}.",
        ),
        (
            lambda: new.latency_ms > max(_SLOW_ENOUGH_TO_MATTER, SLOWER * old.latency_ms),
            Verdict.INCONCLUSIVE,
            f"The challenger is better but slow ({new.latency_ms:.2g} ms a row against {old.latency_ms:.2g}): {seen}.",
        ),
    ]
    for holds, verdict, reason in checks:
        if holds():
            return verdict, reason
    return Verdict.ACCEPT, f"The challenger is better: {seen}."
