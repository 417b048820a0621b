"""Data quality: is the data that reaches the model broken? Looked at before any statistics of drift or performance.

Each check holds the window against the reference, with a bound from `spec.monitors.quality` for what is worth saying,
and against chance: by rank among healthy windows where there are enough, by exact or two-proportion tests until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml.data.profiles import ColumnProfile, Profile
from ml.errors import InvalidInput
from ml.intervals import wilson
from ml.monitors.usual import FEWEST_PIECES
from ml.results import Measurement, Status, Window, utc
from ml.spec import FeatureType, ModelSpec, format_duration

Share = Callable[[ColumnProfile], "tuple[int, int] | None"]
VOLUME_FALL, VOLUME_RISE = 0.5, 2.0
LEAST_REFERENCE = 20
CHECKS = 4  # that are tests, of one feature


def conformal_rank(current: float, history: Sequence[float]) -> float:
    """p-value of a window against K healthy ones: `(1 + #{history >= current}) / (K + 1)`.

    >>> conformal_rank(0.9, [0.1, 0.2, 0.3])
    0.25
    """
    return (1 + sum(past >= current for past in history)) / (len(history) + 1)


def quality(
    spec: ModelSpec,
    reference: Profile,
    current: Profile,
    *,
    window: Window,
    history: Sequence[Profile] = (),
    as_of: datetime | None = None,
    pieces: Sequence[Profile] = (),
    alpha: float | None = None,
) -> list[Measurement]:
    """Every check for every feature, then volume, freshness and duplicates of the whole.

    Per feature: `null_share`, `infinite`, `type` (share of values of a wrong type), `constant` (1 where one value is
    left), `new_category` (share never seen) or `out_of_range` (share outside the reference, or the spec's range).
    history: profiles of healthy windows as long as `window`. as_of: now, for freshness; by default the window's end.
    A check that has nothing to look at is `no_data` and says why.
    On a schedule a breach must also hold at `alpha`, the level of one look among many (`usual.level`), shared by all
    checks of all features, against how much healthy stretches differ: `pieces` of the reference, and the history.

    Raises: InvalidInput where the profiles are not of one bin set.
    """
    for other in (current, *history):
        if other.bins.id != reference.bins.id:
            raise InvalidInput(
                f"Profiles of bin sets {reference.bins.id} and {other.bins.id} cannot be compared; profile anew in one."
            )
    past = [profile for profile in history if profile.rows]
    stretches = [*past, *pieces]
    if len(past) < spec.monitors.drift.history or 1 / (len(past) + 1) > spec.monitors.drift.alpha:
        past = []
    out: list[Measurement] = []
    for name in spec.features:
        share = None if alpha is None else alpha / (CHECKS * len(spec.features))
        look = _Column(spec, name, reference, current, past, window, stretches, share)
        out.append(look.null_share())
        if look.current.valid or look.current.infinite or look.current.invalid:
            out.extend(look.of_values())
    out.append(_volume(spec, reference, current, history, window))
    out.append(_freshness(spec, current, window, as_of))
    out.append(_duplicates(current, window))
    return out


class _Column:
    """The checks of one feature."""

    def __init__(
        self,
        spec: ModelSpec,
        name: str,
        reference: Profile,
        current: Profile,
        past: list[Profile],
        window: Window,
        stretches: Sequence[Profile] = (),
        alpha: float | None = None,
    ) -> None:
        self.spec, self.name, self.window = spec, name, window
        self.kind = spec.features[name].type
        self.reference, self.current = reference.column(name), current.column(name)
        self.past = [profile.column(name) for profile in past]
        self.stretches = [profile.column(name) for profile in stretches]
        self.alpha = alpha

    def of_values(self) -> list[Measurement]:
        out = [self.wrong_type()]
        if self.kind in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            out += [self.new_category(), self.constant()]
        elif self.kind is FeatureType.NUMERIC:
            out += [self.infinite(), self.out_of_range(), self.constant()]
        elif self.kind is FeatureType.DATETIME:
            out += [self.out_of_range(), self.constant()]
        else:
            out += [self.constant()]
        return out

    def null_share(self) -> Measurement:
        rise = self.spec.monitors.quality.max_null_rise
        return self._share("null_share", lambda c: (c.null, c.rows) if c.rows else None, rise, "are missing")

    def infinite(self) -> Measurement:
        return self._share("infinite", lambda c: (c.infinite, c.valid + c.infinite), 0.0, "are infinite")

    def wrong_type(self) -> Measurement:
        def shares(c: ColumnProfile) -> tuple[int, int]:
            return c.invalid, c.rows - c.null

        return self._share("type", shares, 0.0, f"are not of type {self.kind}")

    def new_category(self) -> Measurement:
        bound = self.spec.monitors.quality.max_new_category
        seen = self.reference.levels
        if not seen and not self.reference.other:
            return self._nothing("new_category", "the reference has no values")
        # Good and Turing: a category seen once stands for as many that were not seen at all.
        once = sum(count == 1 for count in seen.values()) if self.reference.bins.complete else 0
        unseen = sorted(self.current.unseen.items(), key=lambda item: (-item[1], item[0]))[:3]
        named = f" ({', '.join(repr(level) for level, _ in unseen)})" if unseen else ""
        words = "are categories never seen" if self.reference.bins.complete else "are rare or new categories"
        facts: dict[str, object] = {"examples": [level for level, _ in unseen]}
        return self._share(
            "new_category", lambda c: (c.other, c.valid) if c.valid else None, bound, words + named, once, facts
        )

    def out_of_range(self) -> Measurement:
        bound = self.spec.monitors.quality.max_out_of_range
        if not self.reference.valid and self.spec.features[self.name].range is None:
            return self._nothing("out_of_range", "the reference has no values")
        extremes = 2  # of exchangeable rows, as many as lie at both ends lie beyond them among as many more
        bins = self.reference.bins
        top = bins.edges[-1] if bins.edges else bins.low
        words = f"lie outside {bins.low:g} to {top:g}"
        if self.kind is FeatureType.DATETIME:
            words = "lie outside the ages seen before"
        facts: dict[str, object] = {"below": self.current.under, "above": self.current.over}
        return self._share(
            "out_of_range",
            lambda c: (c.under + c.over, c.valid) if c.valid else None,
            bound,
            words,
            extremes,
            facts,
        )

    def constant(self) -> Measurement:
        """One value is left where the reference had more, and chance does not explain it."""
        n = self.current.valid
        if n < 2 or self.reference.valid < 2:
            return self._nothing("constant", "there are fewer than two values")
        value = 1.0 if _distinct_one(self.current) else 0.0
        usual = _greatest_share(self.reference)
        chance = usual**n if usual < 1 else 1.0
        breach = (
            value == 1.0
            and chance <= min(self.alpha or 0.01, 0.01)
            and not any(_distinct_one(c) for c in (*self.past, *self.stretches) if c.valid > 1)
        )
        said = "has one value only" if value else "varies"
        return Measurement(
            "quality.constant",
            self.window,
            value,
            n,
            Status.BREACH if breach else Status.OK,
            feature=self.name,
            threshold=1.0,
            detail=f"{self.name} {said}; its commonest value held {usual:.0%} of the reference.",
            facts={"p_value": chance},
        )

    def _nothing(self, check: str, why: str) -> Measurement:
        detail = f"{self.name}: {check} was not checked: {why}."
        return Measurement(
            f"quality.{check}", self.window, None, self.current.rows, Status.NO_DATA, feature=self.name, detail=detail
        )

    def _share(
        self,
        check: str,
        of: Share,
        bound: float,
        words: str,
        unseen: int = 0,
        facts: dict[str, object] | None = None,
    ) -> Measurement:
        """A share of rows: worth saying when it rose by more than `bound`, believed when chance does not explain it.

        unseen: rows of the reference that stand for what as many more rows would bring for the first time."""
        counted = of(self.current)
        if counted is None or counted[1] == 0:
            return self._nothing(check, "there are no rows" if self.current.rows == 0 else "there are no values")
        hits, n = counted
        usual = of(self.reference) or (0, 0)
        before = usual[0] / usual[1] if usual[1] else 0.0
        value = hits / n
        threshold = before + bound
        sampled, test = _more_than(hits, n, *usual, unseen)
        p_value = sampled
        if self.past:
            shares = [share[0] / share[1] for c in self.past if (share := of(c)) is not None and share[1]]
            p_value, test = conformal_rank(value, shares), f"rank among {len(shares)} healthy windows"
        alone = bound == 0 and before == 0  # what can never be right needs no statistics
        sure = p_value <= self.spec.monitors.drift.alpha
        if self.alpha is not None:
            counted_in = [share for c in self.stretches if (share := of(c)) is not None and share[1]]
            scheduled = max(sampled, _beyond_usual(hits, n, *usual, counted_in))
            sure = sure and scheduled <= self.alpha
            facts = {**(facts or {}), "p_schedule": scheduled, "level": self.alpha}
        breach = value > threshold and (alone or sure)
        return Measurement(
            f"quality.{check}",
            self.window,
            value,
            n,
            Status.BREACH if breach else Status.OK,
            feature=self.name,
            interval=wilson(hits, n),
            threshold=threshold,
            detail=f"{self.name}: {_percent(value)} of {n} values {words}, {_percent(before)} in the reference.",
            facts={"count": hits, "reference_share": before, "p_value": p_value, "test": test, **(facts or {})},
        )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share == 0 or share >= 0.001 else f"{share:.1g}"


def _more_than(hits: int, n: int, before: int, rows: int, unseen: int) -> tuple[float, str]:
    """One-sided p-value that a share rose, and the test's name. `unseen` rows of the reference stand for as many that
    are expected in as many rows though they were never seen."""
    from scipy.special import betainc, ndtr

    if hits == 0:
        return 1.0, "nothing to test"
    if rows < LEAST_REFERENCE:
        return float(betainc(hits, n - hits + 1, 1 / (rows + 2) if rows else 0.0)), "exact binomial test"
    before = min(before + max(unseen, 1 if before == 0 else 0), rows)
    if min(hits, n - hits, before, rows - before) < 5:
        return _fisher(hits, n, before, rows), "Fisher's exact test"
    pooled = (hits + before) / (n + rows)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / rows))
    return float(ndtr((before / rows - hits / n) / error)), "two-proportion test"


def _beyond_usual(hits: int, n: int, before: int, rows: int, stretches: Sequence[tuple[int, int]]) -> float:
    """One-sided p-value where shares of healthy stretches differ by more than sampling; 0 where they do not."""
    from scipy.special import stdtr

    k = len(stretches)
    if k < FEWEST_PIECES or rows == 0:
        return 0.0
    sizes = np.array([size for _, size in stretches], np.float64)
    shares = np.array([count for count, _ in stretches], np.float64) / sizes
    middle = float(shares.mean())
    sampling = max(middle * (1 - middle), 1e-12)
    between = float(shares.var(ddof=1)) - sampling * float((1 / sizes).mean())
    if between <= 0:
        return 0.0
    error = np.sqrt(between * (1 + 1 / k) + sampling * (1 / n + 1 / rows))
    return float(stdtr(k - 1, (before / rows - hits / n) / error))


def _fisher(hits: int, n: int, before: int, rows: int) -> float:
    """One-sided: at least `hits` of the `hits + before` fall to the n, of n + rows in all."""
    from scipy.special import gammaln

    def choose(a: float, b: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
        return np.asarray(gammaln(a + 1) - gammaln(np.asarray(b) + 1) - gammaln(a - np.asarray(b) + 1))

    total = hits + before
    k = np.arange(hits, min(total, n) + 1)
    return min(float(np.exp(choose(n, k) + choose(rows, total - k) - choose(n + rows, total)).sum()), 1.0)


def _distinct_one(column: ColumnProfile) -> bool:
    if column.bins.is_categorical:
        return max(column.levels.values(), default=0) == column.valid
    return column.minimum is not None and column.minimum == column.maximum


def _greatest_share(column: ColumnProfile) -> float:
    """Share of the commonest value: exact for categories, at most the fullest bin's for numbers."""
    counts = list(column.levels.values()) if column.bins.is_categorical else column.inner.tolist()
    return max(counts, default=0) / max(column.valid, 1)


def _volume(
    spec: ModelSpec, reference: Profile, current: Profile, history: Sequence[Profile], window: Window
) -> Measurement:
    """Rows in the window against healthy windows; with none to compare, only their absence is wrong."""
    rows = current.rows
    past = sorted(profile.rows for profile in history)
    facts: dict[str, object] = {}
    threshold: float | None = None
    breach, detail = rows == 0, f"{rows} rows in {format_duration(window.length)}."
    if rows == 0:
        detail = f"no predictions in {window}: is the model still called, and is its log still fed?"
    elif past:
        usual = float(np.median(past))
        fewer = conformal_rank(-rows, [-p for p in past])
        more = conformal_rank(rows, past)
        p_value = min(2 * min(fewer, more), 1.0)
        low, high = VOLUME_FALL * usual, VOLUME_RISE * usual
        threshold = low if rows < usual else high
        enough = len(past) >= spec.monitors.drift.history
        breach = enough and min(fewer, more) <= spec.monitors.drift.alpha and not low <= rows <= high
        facts = {"usual": usual, "p_value": p_value}
        detail = f"{rows} rows in {format_duration(window.length)}, {usual:.0f} are usual."
    status = Status.BREACH if breach else Status.OK
    return Measurement(
        "quality.volume",
        window,
        float(rows),
        rows,
        status,
        unit="rows",
        threshold=threshold,
        detail=detail,
        facts=facts,
    )


def _freshness(spec: ModelSpec, current: Profile, window: Window, as_of: datetime | None) -> Measurement:
    now = utc(as_of) if as_of is not None else window.end
    limit = spec.monitors.quality.max_age or 2 * spec.window
    if current.last is None:
        why = "freshness was not checked: the window has no rows."
        return Measurement("quality.freshness", window, None, 0, Status.NO_DATA, unit="s", detail=why)
    age = now - current.last
    ahead = age < timedelta(0)
    detail = f"the newest row is from {current.last:%Y-%m-%d %H:%M} UTC, {limit} is allowed."
    if ahead:
        detail = f"the newest row is from {current.last:%Y-%m-%d %H:%M} UTC, which is still to come: check its clock."
    return Measurement(
        "quality.freshness",
        window,
        age.total_seconds(),
        current.rows,
        Status.BREACH if age > limit or ahead else Status.OK,
        unit="s",
        threshold=limit.total_seconds(),
        detail=detail,
        facts={"last": current.last.isoformat()},
    )


def _duplicates(current: Profile, window: Window) -> Measurement:
    if current.rows == 0:
        why = "duplicates were not checked: the window has no rows."
        return Measurement("quality.duplicates", window, None, 0, Status.NO_DATA, detail=why)
    share = current.duplicates / current.rows
    return Measurement(
        "quality.duplicates",
        window,
        share,
        current.rows,
        Status.BREACH if current.duplicates else Status.OK,
        interval=wilson(current.duplicates, current.rows),
        threshold=0.0,
        detail=f"{current.duplicates} of {current.rows} rows repeat a prediction id.",
    )
