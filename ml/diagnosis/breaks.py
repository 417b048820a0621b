"""Data breaks: each has a fingerprint, and most have a repair that can be tried.

A break is looked for row by row (a mixture of healthy and broken rows), so that it is found when it hits only one
segment, only part of the rows, or begins in the middle of the window. What a shift of mix between known segments
explains is no break.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.density import Density, distance, mixture
from ml.diagnosis.repair import Break, BreakKind, Mask, Repair
from ml.metrics import probability, row_loss
from ml.models.predictor import Predictor
from ml.spec import FeatureType, ModelSpec

Floats = npt.NDArray[np.float64]

_FACTORS = (
    10, 100, 1000, 1e4, 1e6, 38.67, 18.0182, 88.42, 2.54, 30.48, 2.20462, 28.3495, 1.609344, 3.28084, 3.6, 60, 3600, 12, 24,
    7.50062, 6.89476, 4.184, 365.25,
)  # fmt: skip
_AFFINE = ((1.8, 32.0), (1.0, 273.15), (-1.0, 0.0), (-1.0, 1.0))
MIN_ROWS = 20


def repairs(feature: str) -> list[Repair]:
    """The known changes of unit, each as the repair that undoes it."""
    found = [Repair((feature,), factor=f) for k in _FACTORS for f in (float(k), 1.0 / float(k))]
    for a, b in _AFFINE:
        found.append(Repair((feature,), factor=1 / a, offset=-b / a))
        if (a, b) not in ((-1.0, 0.0), (-1.0, 1.0)):
            found.append(Repair((feature,), factor=a, offset=b))
    return found


def find_breaks(
    spec: ModelSpec, healthy: pd.DataFrame, current: pd.DataFrame, odd: dict[str, float], vanished: tuple[str, ...]
) -> list[Break]:
    """Suspected breaks of the current rows against the healthy ones, strongest first, at most one per feature."""
    if len(healthy) < MIN_ROWS or len(current) < MIN_ROWS:
        return []
    scene = _Scene(spec, healthy, current)
    found: list[Break] = [_vanished(scene, name) for name in vanished]
    drifting: list[str] = []
    for name, feature in spec.features.items():
        if name in vanished or healthy[name].notna().sum() < MIN_ROWS:
            continue
        candidates: list[Break] = list(_nulls(scene, name, odd.get(name, 0.0)))
        if feature.type is FeatureType.NUMERIC:
            ref, cur = _values(healthy[name]), _values(current[name])
            if len(cur) >= MIN_ROWS:
                candidates += _stale(scene, name) or list(_spikes(scene, name))
                if _suspicious(ref, cur):
                    drifting.append(name)
                    candidates += _units(scene, name)
        elif feature.type in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            candidates += _categories(scene, name)
        if candidates:
            found.append(max(candidates, key=lambda b: (b.certain, b.strength)))
    found += _swapped(scene, drifting)
    return _one_per_feature(found)


class _Scene:
    """The two frames and the columns by which rows may be told apart."""

    def __init__(self, spec: ModelSpec, healthy: pd.DataFrame, current: pd.DataFrame) -> None:
        self.spec, self.healthy, self.current = spec, healthy, current
        self.columns: list[str] = []
        for name in dict.fromkeys([*spec.segments, *spec.of_type(FeatureType.CATEGORICAL, FeatureType.BOOLEAN)]):
            levels = healthy[name].nunique()
            if 2 <= levels <= 20:
                self.columns.append(name)
        self.known = np.ones(len(current), dtype=bool)
        for name in spec.segments:
            self.known &= current[name].isin(healthy[name].unique()).to_numpy() | current[name].isna().to_numpy()

    def expected(self, hit: Mask, own: str) -> float:
        """The share of hits that the healthy rows would have with the current mix of segments (the largest over columns)."""
        best = float(hit.mean())
        for name in self.columns:
            if name == own:
                continue
            rates = (
                pd.Series(hit.astype(float)).groupby(self.healthy[name].astype(str).to_numpy()).agg(["mean", "size"])
            )
            mix = self.current[name].astype(str).value_counts(normalize=True)
            known = rates[rates["size"] >= 5]["mean"].reindex(mix.index)
            best = max(best, float((known.fillna(float(hit.mean())) * mix).sum()))
        return best

    def largest_before(self, hit: Mask, size: int) -> float:
        """The largest share among consecutive healthy windows of about `size` rows."""
        parts = len(hit) // max(size, 1)
        return max(float(p.mean()) for p in np.array_split(hit, parts)) if parts >= 2 else float(hit.mean())

    def usual_run(self, values: Floats, size: int) -> float:
        """The largest share that one exact value takes in any healthy window of about `size` rows: series that hardly
        move from row to row have long runs by nature."""
        known = values[np.isfinite(values)]
        parts = len(known) // max(size, 1)
        if len(known) == 0:
            return 0.0
        return max(
            float(np.unique(p, return_counts=True)[1].max()) / len(p) for p in np.array_split(known, max(parts, 1))
        )

    def place(self, mask: Mask, own: str) -> tuple[int, tuple[str, str] | None]:
        """First row and segment of the affected rows."""
        segment = None
        start = onset_row(mask)
        inside_all = mask[start:]
        best = 8.0
        for name in self.columns:
            if name == own:
                continue
            codes = self.current[name].astype(str).to_numpy()[start:]
            for level in np.unique(codes):
                inside = codes == level
                k, n = int(inside.sum()), len(inside)
                if k < 8 or k > 0.9 * n:
                    continue
                p, q = float(inside_all[inside].mean()), float(inside_all[~inside].mean())
                if p < 0.3 or q > 0.1 * p:
                    continue
                score = _bernoulli(inside_all[inside]) + _bernoulli(inside_all[~inside]) - _bernoulli(inside_all)
                if name in self.spec.segments:
                    score *= 1.2
                if score > best:
                    best, segment = score, (name, str(level))
        if segment is not None:
            rows = np.flatnonzero((self.current[segment[0]].astype(str) == segment[1]).to_numpy())
            start = int(rows[onset_row(mask[rows])])
        return start, segment

    def make(
        self,
        kind: BreakKind,
        features: tuple[str, ...],
        mask: Mask,
        repair: Repair | None,
        certain: bool,
        what: str,
        strength: float,
    ) -> Break:
        start, segment = self.place(mask, features[0])
        rows = mask.copy()
        rows[:start] = False
        scope = np.zeros(len(mask), dtype=bool)
        scope[start:] = True
        if segment is not None:
            scope &= (self.current[segment[0]].astype(str) == segment[1]).to_numpy()
        share = float(rows[scope].mean()) if scope.any() else 0.0
        first = int(np.flatnonzero(rows)[0]) if rows.any() else 0
        moment = self.current["timestamp"].iloc[first]
        where = f" where {segment[0]} is {segment[1]!r}" if segment else ""
        since = f" since {moment:%Y-%m-%d %H:%M} UTC" if not pd.isna(moment) and start > 0 else ""
        text = f"{what} on {share:.0%} of rows{where}{since}"
        return Break(
            kind,
            features,
            rows,
            share,
            None if pd.isna(moment) else moment,
            segment,
            repair,
            certain,
            text,
            strength,
            first,
        )


def _values(column: pd.Series) -> Floats:
    values = column.to_numpy(np.float64)
    return values[np.isfinite(values)]


def _bernoulli(mask: Mask) -> float:
    n, k = len(mask), float(mask.sum())
    return 0.0 if n == 0 or k in (0.0, float(n)) else float(k * np.log(k / n) + (n - k) * np.log(1 - k / n))


def onset_row(mask: Mask) -> int:
    """The row from which the rate of `mask` is higher, by likelihood; 0 where one rate explains all rows."""
    n = len(mask)
    if n < 4 or not mask.any():
        return 0
    k = np.cumsum(mask)[:-1].astype(np.float64)
    size = np.arange(1, n, dtype=np.float64)
    rest, left = k[-1] + mask[-1] - k, n - size

    def term(hits: Floats, rows: Floats) -> Floats:
        rate = hits / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            value = hits * np.log(rate) + (rows - hits) * np.log1p(-rate)
        return np.nan_to_num(value, nan=0.0, neginf=0.0)

    score = term(k, size) + term(rest, left) - _bernoulli(mask)
    score[rest / left <= k / size] = -1.0
    best = int(np.argmax(score))
    return best + 1 if score[best] > 6 else 0


def _suspicious(ref: Floats, cur: Floats) -> bool:
    noise = np.sqrt(1 / len(ref) + 1 / len(cur))
    if distance(ref, cur) > 1.6 * noise:
        return True
    low, high = ref.min(), ref.max()
    return float(((cur < low) | (cur > high)).mean()) > 0.02


def _vanished(scene: _Scene, name: str) -> Break:
    mask = np.ones(len(scene.current), dtype=bool)
    return scene.make(BreakKind.SCHEMA, (name,), mask, None, True, f"the column {name!r} is missing", 1e6)


def _nulls(scene: _Scene, name: str, odd: float) -> Iterator[Break]:
    rule = scene.spec.monitors.quality
    before = scene.healthy[name].isna().to_numpy()
    now = scene.current[name].isna().to_numpy() & scene.known
    start = onset_row(now)
    share = float(now[start:].mean())
    expected = max(scene.expected(before, name), scene.largest_before(before, len(now) - start))
    excess = (share - expected) / max(1 - expected, 1e-9)
    n = len(now) - start
    z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n) if n else 0.0
    if excess > rule.max_null_rise and z > 5:
        what = (
            f"{name!r} is missing ({expected:.1%} expected)"
            if odd < 0.01
            else f"{name!r} holds text instead of numbers"
        )
        yield scene.make(
            BreakKind.NULLS if odd < 0.01 else BreakKind.SCHEMA, (name,), now, None, excess > 0.1, what, float(z)
        )


def _spikes(scene: _Scene, name: str) -> Iterator[Break]:
    """One exact value far more frequent than before: a sentinel (new, or outside the range) or a default."""
    ref, cur = _values(scene.healthy[name]), scene.current[name].to_numpy(np.float64)
    level, count = np.unique(cur[np.isfinite(cur)], return_counts=True)
    for value in level[np.argsort(-count)[:3]]:
        now = (cur == value) & scene.known
        start = onset_row(now)
        before = (scene.healthy[name] == value).to_numpy()
        n = len(now) - start
        share = float(now[start:].mean())
        natural = scene.usual_run(scene.healthy[name].to_numpy(np.float64), n)
        expected = max(scene.expected(before, name), scene.largest_before(before, n), natural)
        excess = (share - expected) / max(1 - expected, 1e-9)
        z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n)
        if excess < 0.05 or z < 6 or now.sum() < 8:
            continue
        new = not before.any()
        outside = value < ref.min() or value > ref.max()
        if not new and len(np.unique(ref)) < 20 and not outside:
            continue
        rest = cur[start:][~now[start:]]
        rest = rest[np.isfinite(rest)]
        base = ref[ref != value]
        if len(rest) >= MIN_ROWS and distance(rest, base) > 0.12 + 1.63 * np.sqrt(1 / len(rest) + 1 / len(base)):
            continue
        kind = BreakKind.SENTINEL if outside or expected < 0.01 else BreakKind.DEFAULT_FILL
        many = len(np.unique(ref)) >= 30
        series = scene.healthy[name].to_numpy(np.float64)
        sticky = float((series[1:] == series[:-1]).mean()) > 0.1
        certain = expected < 0.02 if outside else many and not sticky and (expected < 0.02 or excess > 0.25)
        yield scene.make(
            kind, (name,), now, None, certain, f"{name!r} is exactly {value:g} ({expected:.1%} expected)", float(z)
        )
        return


def _stale(scene: _Scene, name: str) -> list[Break]:
    """The value of the row before, again and again."""

    def repeats(values: Floats) -> Mask:
        again = np.zeros(len(values), dtype=bool)
        again[1:] = values[1:] == values[:-1]
        return again

    def chance(values: Floats) -> float:
        _, count = np.unique(values[np.isfinite(values)], return_counts=True)
        return float(((count / max(count.sum(), 1)) ** 2).sum())

    ref, cur = scene.healthy[name].to_numpy(np.float64), scene.current[name].to_numpy(np.float64)
    if len(np.unique(_values(scene.healthy[name]))) < 10:
        return []
    before, now = repeats(ref), repeats(cur)
    start = onset_row(now)
    share, n = float(now[start:].mean()), len(now) - start
    expected = max(scene.largest_before(before, n), chance(cur[start:]) if len(np.unique(cur[start:])) > 5 else 0.0)
    z = (share - expected) / np.sqrt(max(expected * (1 - expected), 1 / n) / n)
    if share - expected < 0.2 or z < 6:
        return []
    what = f"{name!r} repeats the value of the row before ({expected:.1%} expected)"
    return [scene.make(BreakKind.STALE, (name,), now, None, share - expected > 0.4, what, float(z))]


def _units(scene: _Scene, name: str) -> list[Break]:
    ref = _values(scene.healthy[name])
    column = scene.current[name].to_numpy(np.float64)
    seen = np.isfinite(column)
    cur = column[seen]
    density = Density(ref)
    plain = density.log(cur)
    options = repairs(name)
    ratio = np.stack([_ratio(density, plain, cur, r) for r in options])
    share, gain, mine = mixture(ratio)
    order = np.argsort(-(gain - 0.02 * np.arange(len(gain))))[:3]  # of two that fit alike, the more common unit
    for at in order:
        if gain[at] < 15 or share[at] * len(cur) < 8:
            continue
        repair = options[at]
        hit = mine[at] > 0.5
        if hit.sum() < 8:
            continue
        mask = np.zeros(len(column), dtype=bool)
        mask[seen] = hit
        start, segment = scene.place(mask, name)
        scope = np.arange(len(column)) >= start
        base = ref
        if segment is not None:
            scope &= (scene.current[segment[0]].astype(str) == segment[1]).to_numpy()
            same = _values(scene.healthy.loc[(scene.healthy[segment[0]].astype(str) == segment[1]).to_numpy(), name])
            base = same if len(same) >= MIN_ROWS else ref
        if hit[: start or None].mean() > 0.9 and segment is None and start == 0:
            mask[seen] = True
        elif float(mask[scope & seen].mean()) > 0.85:
            # a value that reads the same either way (0) or in the overlap of both units: the break takes whole segments
            mask |= scope & seen
        repaired = np.where(mask, repair.factor * column + repair.offset, column)
        inside = scope & np.isfinite(column)
        noise = np.sqrt(1 / max(inside.sum(), 1) + 1 / len(base))
        after, before = distance(repaired[inside], base), distance(column[inside], base)
        if after > 0.12 + 1.36 * noise or after > 0.6 * before:
            continue
        sure = float(np.median(ratio[at][hit])) > 3
        far = not (0.25 < abs(repair.factor) < 4) or abs(repair.offset) > 100
        what = f"{name!r} fits the past only after: {repair.describe()}"
        return [scene.make(BreakKind.UNIT, (name,), mask, repair, sure and far, what, float(gain[at]))]
    return []


def _ratio(density: Density, plain: Floats, values: Floats, repair: Repair) -> Floats:
    """Log likelihood ratio of broken to healthy; nothing is learnt from a value that reads the same either way (0)."""
    undone = repair.factor * values + repair.offset
    ratio = density.log(undone) + np.log(abs(repair.factor)) - plain
    return np.where(density.same(undone, values), 0.0, ratio)


def _categories(scene: _Scene, name: str) -> Iterator[Break]:
    rule = scene.spec.monitors.quality
    ref, cur = (
        scene.healthy[name].dropna().astype(str),
        scene.current[name].astype(str).where(scene.current[name].notna()),
    )
    levels = ref.value_counts(normalize=True)
    new = (~cur.isin(levels.index) & cur.notna()).to_numpy()
    start = onset_row(new)
    share = float(new[start:].mean())
    if share > rule.max_new_category and new.sum() >= 8 and not _follows_calendar(cur, scene.current["timestamp"]):
        fresh = cur[new].value_counts()
        mapping = {v: t for v in fresh.index if (t := _same_text(v, list(levels.index)))}
        spelled = sum(fresh[v] for v in mapping) > 0.8 * fresh.sum()
        if not spelled:
            mapping = _by_frequency(levels, cur[start:].value_counts(normalize=True))
        what = f"{name!r} has values never seen ({', '.join(map(repr, fresh.index[:3]))})"
        repair = Repair((name,), mapping=mapping) if mapping else None
        kind = BreakKind.RENAME if mapping else BreakKind.NEW_CATEGORY
        yield scene.make(kind, (name,), new, repair, bool(mapping), what, float(share * len(cur)))
        return
    if len(levels) < 3:
        return
    now = cur.value_counts(normalize=True)
    for level in now.index[:2]:
        before = (scene.healthy[name].astype(str) == level).to_numpy()
        hit = (cur == level).to_numpy() & scene.known
        start = onset_row(hit)
        n = len(hit) - start
        expected = max(scene.expected(before, name), scene.largest_before(before, n))
        rate = float(hit[start:].mean())
        excess = (rate - expected) / max(1 - expected, 1e-9)
        others = cur[start:][~hit[start:]].value_counts(normalize=True)
        base = levels.drop(level, errors="ignore") / max(1 - levels.get(level, 0.0), 1e-9)
        if (
            excess > 0.3
            and n >= MIN_ROWS
            and (rate > 0.97 or float((others.reindex(base.index).fillna(0) - base).abs().sum()) / 2 < 0.12)
        ):
            again = float((ref.to_numpy()[1:] == ref.to_numpy()[:-1]).mean()) - float((levels**2).sum())
            yield scene.make(
                BreakKind.DEFAULT_FILL,
                (name,),
                hit,
                None,
                rate > 0.97 and expected < 0.8 and again < 0.15,
                f"{name!r} is {level!r} ({expected:.0%} expected)",
                float(excess * n),
            )
            return


def _plain(text: str) -> str:
    repaired = text
    try:
        repaired = text.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        pass
    return "".join(c for c in repaired.casefold() if c.isalnum())


def _same_text(value: str, known: list[str]) -> str | None:
    plain = {_plain(k): k for k in known}
    mine = _plain(value)
    if mine and mine in plain:
        return plain[mine]
    short = [
        k
        for p, k in plain.items()
        if mine and p and (p.startswith(mine) or mine.startswith(p)) and min(len(p), len(mine)) >= 3
    ]
    return short[0] if len(short) == 1 else None


def _by_frequency(before: pd.Series, now: pd.Series) -> dict[str, str]:
    """New level -> the known level whose share is missing by as much; empty where the sorted shares do not agree."""
    lost = (before - now.reindex(before.index).fillna(0.0)).sort_values(ascending=False)
    fresh = now[~now.index.isin(before.index)].sort_values(ascending=False)
    lost = lost[lost > 0.01]
    if len(fresh) > len(lost) or len(fresh) == 0:
        return {}
    pairs = dict(zip(fresh.index, lost.index, strict=False))
    gap = sum(abs(fresh[v] - lost[k]) for v, k in pairs.items())
    return {str(v): str(k) for v, k in pairs.items()} if gap < 0.15 * float(fresh.sum()) + 0.03 else {}


def _follows_calendar(column: pd.Series, times: pd.Series) -> bool:
    """Whether the column is a function of the date: long runs of one value (a month, a season)."""
    if times.isna().all():
        return False
    day = times.dt.floor("D")
    per_day = column.groupby(day).nunique()
    return bool(len(per_day) >= 3 and (per_day <= 1).mean() > 0.9)


def _swapped(scene: _Scene, drifting: list[str]) -> list[Break]:
    used = [f for f in drifting if scene.spec.features[f].used][:8]
    dense = {f: Density(_values(scene.healthy[f])) for f in used}
    found = []
    for i, a in enumerate(used):
        for b in used[i + 1 :]:
            x, y = scene.current[a].to_numpy(np.float64), scene.current[b].to_numpy(np.float64)
            seen = np.isfinite(x) & np.isfinite(y)
            if seen.sum() < MIN_ROWS:
                continue
            ratio = dense[a].log(y[seen]) + dense[b].log(x[seen]) - dense[a].log(x[seen]) - dense[b].log(y[seen])
            share, gain, mine = mixture(ratio[None, :])
            if gain[0] < 15 or (mine[0] > 0.5).sum() < 8:
                continue
            mask = np.zeros(len(x), dtype=bool)
            mask[seen] = mine[0] > 0.5
            start, segment = scene.place(mask, a)
            scope = np.arange(len(x)) >= start
            if segment is not None:
                scope &= (scene.current[segment[0]].astype(str) == segment[1]).to_numpy()
            if mask[scope & seen].mean() > 0.6:
                mask |= scope & seen
            ref_a, ref_b = _values(scene.healthy[a]), _values(scene.healthy[b])
            inside = scope & seen
            noise = 1.36 * np.sqrt(1 / max(inside.sum(), 1) + 1 / len(ref_a))
            after = max(distance(np.where(mask, y, x)[inside], ref_a), distance(np.where(mask, x, y)[inside], ref_b))
            before = max(distance(x[inside], ref_a), distance(y[inside], ref_b))
            if after > 0.12 + noise or after > 0.6 * before:
                continue
            what = f"{a!r} and {b!r} look swapped"
            clear = float(np.median(ratio[mine[0] > 0.5]))
            sure = after < 0.5 * before and clear > (3 if mask[inside].mean() > 0.6 else 5)
            found.append(
                scene.make(
                    BreakKind.SWAPPED,
                    (a, b),
                    mask,
                    Repair((a, b), swap=True),
                    sure,
                    what,
                    float(gain[0]),
                )
            )
    return found


def _one_per_feature(found: list[Break]) -> list[Break]:
    taken: set[str] = set()
    out = []
    order = {BreakKind.SCHEMA: 0, BreakKind.SWAPPED: 1}
    for item in sorted(found, key=lambda b: (not b.certain, order.get(b.kind, 2), -b.strength)):
        if taken & set(item.features):
            continue
        taken |= set(item.features)
        out.append(item)
    return out


def search_by_replay(
    spec: ModelSpec, model: Predictor, frame: pd.DataFrame, loss: Floats, harm: float, tolerance: float
) -> tuple[Repair, float, float, float] | None:
    """The one repair that brings back most of the harm when the model answers again, with its gain and interval.

    Swaps of two numeric columns, a turned sign, powers of ten: 60 % of the harm must come back, at odds that allow for
    the number of repairs tried. A changed relation does not do that.
    """
    few = np.linspace(0, len(frame) - 1, min(len(frame), 1500)).astype(int)
    rows, before = frame.iloc[few], loss[few]
    names = [f for f in spec.used_features if spec.features[f].type is FeatureType.NUMERIC and rows[f].nunique() > 2][
        :12
    ]
    options = [Repair((a, b), swap=True) for i, a in enumerate(names) for b in names[i + 1 :]]
    options += [Repair((f,), factor=k) for f in names for k in (-1.0, 10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)]
    everything = np.ones(len(rows), dtype=bool)
    scored = probability(spec, rows) is not None
    best: tuple[Repair, float, float, float] | None = None
    for repair in options:
        again = model.predict(repair.apply(rows, everything))
        score = again["score"].to_numpy() if scored else np.nan
        gains = before - row_loss(spec, rows.assign(prediction=again["prediction"].to_numpy(), score=score))
        gain = float(gains.mean())
        error = 3.5 * float(gains.std()) / np.sqrt(len(gains))
        if gain - error > tolerance / 2 and gain > 0.6 * harm and (best is None or gain > best[1]):
            best = repair, gain, gain - error, gain + error
    return best
