"""Confidence intervals of what is measured on labelled rows, in closed form: shares, means, areas, F-scores.

Each keeps its level with few rows and near the ends of its range (see `tests/ml/test_intervals.py` for the coverage),
which resampling does not: a bootstrap of a recall of 1.0 has no width. Rows that belong together (one customer's) are
worth fewer: `clustering` says how many times fewer, from each row's influence on the metric.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.results import Interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]
CLASS_ROWS = 5


def quantile(level: float) -> float:
    """The normal quantile of a two-sided level."""
    from scipy.special import ndtri

    return float(-ndtri((1 - level) / 2))


def wilson(hits: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's interval of a share. (Wilson 1927.)

    >>> wilson(0, 100).high < 0.04
    True
    """
    z = quantile(level)
    share, scale = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return Interval(min(low, share), max(high, share), level)


def share(hits: float, n: float, worth: float = 1.0, level: float = 0.95) -> Interval:
    """Wilson's interval where `worth` rows are worth one."""
    return wilson(hits / worth, n / worth, level)


def f_score(hits: float, union: float, worth: float = 1.0, level: float = 0.95) -> Interval:
    """F1 of one class. With J the share of hits among the rows that are or were called positive, F1 = 2J / (1 + J).

    >>> f_score(50, 100).low < 2 / 3 < f_score(50, 100).high
    True
    """
    jaccard = share(hits, union, worth, level)
    return Interval(2 * jaccard.low / (1 + jaccard.low), 2 * jaccard.high / (1 + jaccard.high), level)


def mean(values: Floats, worth: float = 1.0, level: float = 0.95, *, spread: float = 0.0) -> Interval:
    """Mean of values that are never negative (errors, losses), by the t interval of its logarithm: such values are
    skewed, and so is their mean. spread: a standard deviation that they have at least. Where the variance of the values
    is not finite (squares of heavy-tailed errors) no interval of a mean keeps its level; this one does not either.

    >>> mean(np.zeros(20)) == Interval(0.0, 0.0)
    True
    """
    from scipy.special import stdtrit

    n = len(values)
    middle = float(values.mean())
    if middle <= 0 or n < 2:
        return Interval(middle, middle, level)
    t = float(stdtrit(max(n / worth - 1, 1.0), (1 + level) / 2))
    deviation = max(float(values.std(ddof=1)), spread)
    skew = float((((values - middle) / deviation) ** 3).mean())
    error = deviation * float(np.sqrt(worth / n)) / middle
    half = min(t * error, 50.0)
    lean = max(skew, 0.0) * float(np.sqrt(worth / n)) / 6 * (1 + 2 * t * t)  # Johnson (1978), of the studentised mean
    up = min(half + error * lean, 50.0)
    return Interval(middle * float(np.exp(-half)), middle * float(np.exp(up)), level)


def area(truth: Floats, score: Floats, value: float, worth: float = 1.0, level: float = 0.95) -> Interval:
    """Area under the ROC curve. DeLong's variance, on the logit; never less than a variance that an area of this size
    has with as many rows of each class, so that a perfect ranking of a few is no certainty.

    Sources: DeLong, DeLong and Clarke-Pearson (1988); Hanley and McNeil (1982); Newcombe (2006) for the ends.
    """
    n1, n0 = float(truth.sum()) / worth, float(len(truth) - truth.sum()) / worth
    model = newcombe(value, n1, n0, level)
    if min(n1, n0) < 3:
        return model
    positive, negative = placements(truth, score)
    variance = positive.var(ddof=1) / n1 + negative.var(ddof=1) / n0
    if not 0 < value < 1 or variance <= 0:
        return model
    few = min(n1, n0) < 150
    slope = 1 / (value * (1 - value))
    from scipy.special import stdtrit

    t = float(stdtrit(max(min(n1, n0) - 1, 1.0), (1 + level) / 2)) if few else quantile(level)
    logit, half = float(np.log(value / (1 - value))), min(t * float(np.sqrt(variance)) * slope, 50.0)
    low, high = float(1 / (1 + np.exp(half - logit))), float(1 / (1 + np.exp(-half - logit)))
    return Interval(min(low, model.low), max(high, model.high), level) if few else Interval(low, high, level)


def newcombe(value: float, n1: float, n0: float, level: float = 0.95) -> Interval:
    """Interval of an area from its size and the numbers of both classes: the areas whose own standard error reaches the
    value. (Newcombe 2006, method 5.)

    >>> newcombe(1.0, 10, 10).low < 0.85
    True
    """
    z, middle = quantile(level), (n1 + n0) / 2 - 1

    def off(area: float) -> float:
        spread = 1 + middle * ((1 - area) / (2 - area) + area / (1 + area))
        return z * float(np.sqrt(max(area * (1 - area) * spread / (n1 * n0), 0.0))) - abs(area - value)

    def edge(inner: float, outer: float) -> float:
        for _ in range(50):
            half = (inner + outer) / 2
            inner, outer = (half, outer) if off(half) > 0 else (inner, half)
        return (inner + outer) / 2

    return Interval(edge(value, 0.0) if value > 0 else 0.0, edge(value, 1.0) if value < 1 else 1.0, level)


def placements(truth: Floats, score: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative the share of positives above (ties half)."""
    up, down = np.sort(score[truth == 1]), np.sort(score[truth != 1])
    below = (np.searchsorted(down, up, "left") + np.searchsorted(down, up, "right")) / (2 * len(down))
    above = 1 - (np.searchsorted(up, down, "left") + np.searchsorted(up, down, "right")) / (2 * len(up))
    return below, above


def placement_of_rows(truth: Floats, score: Floats) -> Floats:
    """Each row's influence on the area, in the order of the rows (up to a factor by class)."""
    below, above = placements(truth, score)
    out = np.empty(len(truth))
    up, down = np.flatnonzero(truth == 1), np.flatnonzero(truth != 1)
    out[up[np.argsort(score[up], kind="stable")]] = (below - below.mean()) / len(up)
    out[down[np.argsort(score[down], kind="stable")]] = (above - above.mean()) / len(down)
    return out


def average_f_score(
    label: Ints, prediction: Ints, classes: int, worth: float = 1.0, level: float = 0.95
) -> Interval | None:
    """Macro F1 of codes 0 to classes - 1, by the jackknife on the logit; it also takes out the bias that F has with few
    rows. None where a class has fewer than `CLASS_ROWS` labels: what is missing cannot be resampled.

    Source: Efron (1982), The jackknife, the bootstrap and other resampling plans.
    """
    labels = np.bincount(label, minlength=classes)
    if labels.min() < CLASS_ROWS:
        return None
    hits = np.bincount(label[label == prediction], minlength=classes).astype(np.float64)
    sizes = (labels + np.bincount(prediction, minlength=classes)).astype(np.float64)
    score = 2 * hits / sizes
    value, n = float(score.mean()), len(label)
    right = ((2 * hits - 2) / (sizes - 2)) - score  # a hit of the class left out
    wrong = 2 * hits / (sizes - 1) - score  # a miss left out, for the class that it was and the one that it was called
    hit = label == prediction
    change = np.where(hit, right[label], wrong[label] + wrong[prediction]) / classes
    bias = (n - 1) * float(change.mean())
    error = float(np.sqrt((n - 1) / n * ((change - change.mean()) ** 2).sum() * worth))
    middle = min(max(value - bias, 0.5 / n), 1 - 0.5 / n)
    half = min(quantile(level) * max(error, 0.5 / n) / (middle * (1 - middle)), 50.0)
    logit = float(np.log(middle / (1 - middle)))
    low, high = float(1 / (1 + np.exp(half - logit))), float(1 / (1 + np.exp(-half - logit)))
    return Interval(min(low, value), max(high, value), level)


def clustering(influence: Floats, entities: npt.NDArray[np.intp]) -> float:
    """How many rows are worth one where the rows of an entity go together; at least 1.

    >>> clustering(np.repeat([1.0, -1.0, 0.5, -0.5], 5), np.repeat(np.arange(4), 5))
    5.0
    """
    rest = influence - influence.mean()
    total = float((rest**2).sum())
    if total <= 0:
        return 1.0
    return max(float((np.bincount(entities, weights=rest) ** 2).sum()) / total, 1.0)
