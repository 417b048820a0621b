"""Drift: has a column's distribution moved from the reference? It explains; it never decides what to do.

One number per column: the population stability index on reference-quantile bins, less what it is expected to be when
nothing changed. What is significant is decided once for all columns of a run, so that `alpha` is the chance of any
false alarm in it: by ranking against healthy windows (windows differ by more than sampling) once there are enough of
them, by tests calibrated for independent rows until then.

Sources: Yurdakul (2018), Statistical properties of the population stability index (PSI ~ (1/n + 1/m) chi2(B - 1));
Benjamini and Hochberg (1995); Westfall and Young (1993) for the step over columns; Vovk et al. (2005) for ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.bins import make_bins
from ml.data.profiles import ColumnProfile, Profile, profile_frame
from ml.errors import InvalidInput
from ml.monitors.season import in_season
from ml.monitors.usual import at_least, jitter, tail
from ml.monitors.vocabulary import vocabulary_drift
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec

Counts = npt.NDArray[np.float64]
BINS = 10
LAPLACE = 0.5
EXPECTED = 5.0  # rows that a pooled level must be expected to have in the smaller sample


def population_stability_index(p_counts: npt.ArrayLike, q_counts: npt.ArrayLike, *, laplace: float = LAPLACE) -> float:
    """PSI of two rows of counts in the same bins, each count raised by `laplace`.

    >>> round(population_stability_index([50, 50], [50, 50]), 6)
    0.0
    >>> round(population_stability_index([500, 500], [400, 600]), 2)
    0.04
    """
    p, q = np.asarray(p_counts, np.float64) + laplace, np.asarray(q_counts, np.float64) + laplace
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def psi_expectation(bins: int, n: int, m: int) -> float:
    """Mean of the PSI of n and m independent rows in so many bins when nothing changed.

    >>> psi_expectation(11, 1000, 1000)
    0.02
    """
    return (bins - 1) * (1 / n + 1 / m)


def psi_threshold(bins: int, n: int, m: int, *, alpha: float = 0.05, floor: float = 0.0) -> float:
    """The raw PSI that n and m independent rows pass with probability `alpha` when nothing changed, at least `floor`.

    >>> round(psi_threshold(10, 1000, 1000), 4)
    0.0338
    """
    from scipy.special import chdtri

    return max(float(chdtri(bins - 1, alpha)) * (1 / n + 1 / m), floor)


def g_test(p_counts: npt.ArrayLike, q_counts: npt.ArrayLike) -> float:
    """p-value of the likelihood-ratio test (with Williams' correction) that two rows of counts are of one distribution.

    >>> round(g_test([50, 50], [50, 50]), 6)
    1.0
    """
    from scipy.special import chdtrc

    table = np.array([p_counts, q_counts], np.float64)
    table = table[:, table.sum(axis=0) > 0]
    k = table.shape[1]
    if k < 2 or (table.sum(axis=1) == 0).any():
        return 1.0
    total, rows, columns = table.sum(), table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        g = 2 * np.where(table > 0, table * np.log(table / expected), 0.0).sum()
    correction = 1 + (total * (1 / rows).sum() - 1) * (total * (1 / columns).sum() - 1) / (6 * total * (k - 1))
    return float(chdtrc(k - 1, max(g, 0.0) / correction))


def benjamini_hochberg(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Adjusted p-values: those at most alpha are discoveries at false discovery rate alpha.

    >>> benjamini_hochberg([0.01, 0.04, 0.5]).round(3).tolist()
    [0.03, 0.06, 0.5]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


@dataclass(frozen=True, slots=True)
class Compared:
    """One column of two profiles in the bins of the test."""

    psi: float
    bins: int
    n: int
    m: int
    p_value: float
    test: str

    @property
    def expectation(self) -> float:
        return psi_expectation(self.bins, self.n, self.m)

    @property
    def excess(self) -> float:
        """PSI less its expectation under no change: about the true PSI."""
        return self.psi - self.expectation


def compare(reference: ColumnProfile, current: ColumnProfile, *, test: bool = True) -> Compared | str:
    """The column's shift, or a sentence saying why it cannot be measured. Without `test` the p-value is NaN."""
    if reference.rows == 0 or reference.null + reference.invalid == reference.rows:
        return "the reference has no values"
    if current.rows == 0:
        return "there are no rows"
    if current.null + current.invalid == current.rows:
        return "every value is missing; see quality.null_share"
    categorical = reference.bins.is_categorical
    p, q = _pooled_levels(reference, current) if categorical else _few_bins(reference, current)
    n, m, k = int(p.sum()), int(q.sum()), len(p)
    if k < 2:
        if categorical and len(reference.bins.levels) + bool(reference.other) > 1:
            return "no category has enough rows to compare"
        return "the reference has one value only"
    psi = population_stability_index(p, q)
    if not test:
        return Compared(psi, k, n, m, float("nan"), "")
    if categorical:
        return Compared(psi, k, n, m, g_test(p, q), "G-test")
    from scipy.special import chdtrc

    return Compared(psi, k, n, m, float(chdtrc(k - 1, psi / (1 / n + 1 / m))), "PSI against chi-square")


def _excess(reference: ColumnProfile, current: ColumnProfile) -> float | None:
    result = compare(reference, current, test=False)
    return result.excess if isinstance(result, Compared) else None


def _few_bins(reference: ColumnProfile, current: ColumnProfile) -> tuple[Counts, Counts]:
    """About ten bins of equal reference share, made of neighbours; missing (and infinite) values are one more."""
    p, q = _ordered(reference), _ordered(current)
    share = np.cumsum(p) - p / 2
    group = np.minimum((share / max(p.sum(), 1) * BINS).astype(int), BINS - 1)
    group = np.unique(group, return_inverse=True)[1]
    p, q = (np.bincount(group, weights=counts).astype(np.float64) for counts in (p, q))
    for a, b in (
        (reference.null + reference.invalid, current.null + current.invalid),
        (reference.infinite, current.infinite),
    ):
        if a + b:
            p, q = np.append(p, a), np.append(q, b)
    return _merge_rare(p, q)


def _ordered(column: ColumnProfile) -> Counts:
    counts = column.inner.astype(np.float64)
    if len(counts):
        counts[0] += column.under
        counts[-1] += column.over
    return counts


def _merge_rare(p: Counts, q: Counts) -> tuple[Counts, Counts]:
    """Join bins that hold too little to test, judged by both samples together so that the choice favours neither."""
    total = p + q
    need = EXPECTED * total.sum() / max(min(p.sum(), q.sum()), 1)
    rare = total < need
    if not rare.any():
        return p, q
    kept_p, kept_q = p[~rare], q[~rare]
    rest_p, rest_q = p[rare].sum(), q[rare].sum()
    if rest_p + rest_q >= need or not len(kept_p):
        return np.append(kept_p, rest_p), np.append(kept_q, rest_q)
    least = int(np.argmin(kept_p + kept_q))
    kept_p[least] += rest_p
    kept_q[least] += rest_q
    return kept_p, kept_q


def _pooled_levels(reference: ColumnProfile, current: ColumnProfile) -> tuple[Counts, Counts]:
    """Counts by level over the levels of both; what is not kept by name, and rare levels, are pooled."""
    mine, theirs = reference.levels, current.levels
    names = list(mine | theirs)
    rest = [column.other - sum(column.unseen.values()) for column in (reference, current)]
    p = np.array([*(mine.get(name, 0) for name in names), rest[0], reference.null + reference.invalid], np.float64)
    q = np.array([*(theirs.get(name, 0) for name in names), rest[1], current.null + current.invalid], np.float64)
    return _merge_rare(p, q)


def drift(
    spec: ModelSpec,
    reference: Profile,
    current: Profile,
    *,
    window: Window,
    history: Sequence[Profile] = (),
    moved: Mapping[str, Sequence[float]] | None = None,
    alpha: float | None = None,
) -> list[Measurement]:
    """`drift.psi` for every feature (used or not), the prediction and the score; `drift.vocabulary` for text.

    value: PSI less its expectation under no change; it breaches where it is significant for the run and above
    `spec.monitors.drift.floor`. history: profiles of healthy windows of the same length as `window`; from
    `spec.monitors.drift.history` of them on, ranks against them replace the tests. facts: raw psi, its expectation,
    bins, test, p-value as it is and adjusted for the number of columns.
    On a schedule a breach must also hold at `alpha`, the level of one look among many (`usual.level`), against how much
    healthy stretches move by themselves: the pieces of the reference (`moved`, see `movements`), and the history.

    Raises: InvalidInput where the profiles are not of one bin set.
    """
    for other in (current, *history):
        if other.bins.id != reference.bins.id:
            raise InvalidInput(
                f"Profiles of bin sets {reference.bins.id} and {other.bins.id} cannot be compared; profile anew in one."
            )
    names = list(reference.bins.index)
    compared = {name: compare(reference.column(name), current.column(name)) for name in names}
    able = {name: result for name, result in compared.items() if isinstance(result, Compared)}
    past = [profile for profile in history if profile.rows]
    if len(past) >= spec.monitors.drift.history and 1 / (len(past) + 1) <= spec.monitors.drift.alpha:
        adjusted, single = _by_history(reference, able, past)
        method = f"rank among {len(past)} healthy windows"
    else:
        single = {name: result.p_value for name, result in able.items()}
        adjusted = dict(zip(able, benjamini_hochberg(list(single.values())).tolist(), strict=True))
        method = ""
    scheduled = _on_schedule(reference, able, past, moved or {}) if alpha is not None else {}
    out = []
    for name in names:
        result = compared[name]
        if isinstance(result, str):
            if name in spec.features or current.rows == 0 or reference.column(name).valid:
                out.append(_nothing(name, window, current.rows, f"{name}: drift was not checked: {result}."))
            continue
        found = _measured(spec, name, result, single[name], adjusted[name], method or result.test, window)
        if alpha is not None:
            found = _at_level(found, scheduled[name], alpha)
        out.append(found)
    out = in_season(spec, out, current, history, window, _excess)
    out.extend(vocabulary_drift(spec, reference, current, window, alpha or spec.monitors.drift.alpha))
    return out


def movements(reference: Profile, stretches: Sequence[Profile], *, inside: bool) -> dict[str, list[float]]:
    """How far each column of healthy stretches is from the reference beyond chance. inside: they are parts of it."""
    found: dict[str, list[float]] = {name: [] for name in reference.bins.index}
    for name, moved in found.items():
        mine = reference.column(name)
        for profile in stretches:
            other = compare(mine, profile.column(name), test=False)
            if isinstance(other, Compared):
                sampling = 1 / other.m - 1 / other.n if inside else 1 / other.m + 1 / other.n
                moved.append(other.psi - (other.bins - 1) * sampling)
    return found


def _on_schedule(
    reference: Profile, able: Mapping[str, Compared], past: Sequence[Profile], moved: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """p-values against sampling and natural movement together, adjusted for the number of columns."""
    lately = movements(reference, past, inside=False)
    found = []
    for name, result in able.items():
        usual = at_least(jitter([*lately[name], *moved.get(name, ())]))
        found.append(tail(result.psi, result.bins - 1, result.expectation, usual))
    return dict(zip(able, benjamini_hochberg(found).tolist(), strict=True)) if found else {}


def _at_level(found: Measurement, p_value: float, alpha: float) -> Measurement:
    """A breach only where it also holds at the level of one look among many."""
    facts = {**found.facts, "p_schedule": p_value, "level": alpha}
    if found.status is Status.BREACH and p_value > alpha:
        detail = found.detail.replace(" moved:", " moved, though no more than looking every day explains:", 1)
        return replace(found, status=Status.OK, detail=detail, facts=facts)
    return replace(found, facts=facts)


def _nothing(name: str, window: Window, n: int, why: str) -> Measurement:
    return Measurement("drift.psi", window, None, n, Status.NO_DATA, feature=name, detail=why)


def _measured(
    spec: ModelSpec, name: str, result: Compared, p_value: float, adjusted: float, test: str, window: Window
) -> Measurement:
    rule = spec.monitors.drift
    critical = psi_threshold(result.bins, result.n, result.m, alpha=rule.alpha) - result.expectation
    threshold = max(critical, rule.floor)
    by_rank = test.startswith("rank")
    breach = adjusted <= rule.alpha and result.excess >= rule.floor
    feature = spec.features.get(name)
    role = "" if feature is None or feature.used else " The model is not fed it."
    said = "moved" if breach else "did not move beyond what is usual"
    return Measurement(
        monitor="drift.psi",
        window=window,
        value=result.excess,
        n=result.m,
        status=Status.BREACH if breach else Status.OK,
        feature=name,
        threshold=rule.floor if by_rank else threshold,
        detail=f"{name} {said}: PSI {result.psi:.3f}, of which {result.expectation:.3f} is chance "
        f"(p = {adjusted:.2g} over all columns, {test}).{role}",
        facts={
            "psi": result.psi,
            "expected": result.expectation,
            "bins": result.bins,
            "reference_rows": result.n,
            "test": test,
            "p_value": p_value,
            "p_adjusted": adjusted,
            "used": feature.used if feature else True,
        },
    )


def _by_history(
    reference: Profile, able: Mapping[str, Compared], past: Sequence[Profile]
) -> tuple[dict[str, float], dict[str, float]]:
    """Adjusted and single p-values by rank.

    Each column's excess PSI is put on a common scale by the median and the median deviation over all windows, this one
    included, so that no window is special. A column is held against the *largest* of each healthy window: the
    chance that any column of a healthy run is at rank one of K + 1 is 1 / (K + 1), however many columns there are.
    """
    names = list(able)
    table = np.empty((len(past) + 1, len(names)))
    for j, name in enumerate(names):
        mine = reference.column(name)
        table[0, j] = able[name].excess
        for i, profile in enumerate(past, 1):
            result = compare(mine, profile.column(name), test=False)
            table[i, j] = result.excess if isinstance(result, Compared) else np.nan
    middle = np.nanmedian(table, axis=0)
    spread = np.nanmedian(np.abs(table - middle), axis=0)
    chance = np.array([max(able[name].expectation, 1e-9) for name in names])
    scaled = (table - middle) / np.maximum(spread, 0.1 * chance)
    scaled = np.where(np.isnan(scaled), -np.inf, scaled)
    k = len(past)
    largest = scaled[1:].max(axis=1) if names else np.empty(k)
    adjusted = {name: (1 + int((largest >= scaled[0, j]).sum())) / (k + 1) for j, name in enumerate(names)}
    single = {name: (1 + int((scaled[1:, j] >= scaled[0, j]).sum())) / (k + 1) for j, name in enumerate(names)}
    return adjusted, single


def drift_of_frames(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, window: Window
) -> list[Measurement]:
    """`drift` of two log frames in memory, with bins made from the reference. Raises: DataError for no reference."""
    bins = make_bins(spec, reference)
    return drift(spec, profile_frame(reference, bins), profile_frame(current, bins), window=window)
