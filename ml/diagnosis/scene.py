"""Where a break is: since which row, and in which segment; and what the mix of known segments explains anyway."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.repair import Break, BreakKind, Mask, Repair
from ml.spec import FeatureType, ModelSpec

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
MIN_ROWS = 20


class Scene:
    """The two frames and the columns by which rows may be told apart."""

    def __init__(self, spec: ModelSpec, healthy: pd.DataFrame, current: pd.DataFrame) -> None:
        self.spec, self.healthy, self.current = spec, healthy, current
        self.columns: dict[str, tuple[Codes, Codes, list[str]]] = {}
        for name in dict.fromkeys([*spec.segments, *spec.of_type(FeatureType.CATEGORICAL, FeatureType.BOOLEAN)]):
            if 2 <= healthy[name].nunique() <= 20:
                codes, levels = pd.factorize(pd.concat([healthy[name], current[name]]).astype(str))
                self.columns[name] = codes[: len(healthy)], codes[len(healthy) :], [str(v) for v in levels]
        self.known = np.ones(len(current), dtype=bool)
        for name in spec.segments:
            self.known &= current[name].isin(healthy[name].unique()).to_numpy() | current[name].isna().to_numpy()

    def expected(self, hit: Mask, own: str) -> float:
        """The share of hits that healthy rows would have with the current mix of segments (largest over columns)."""
        usual = float(hit.mean())
        best = usual
        if usual == 0:
            return 0.0
        for name, (before, now, levels) in self.columns.items():
            if name == own:
                continue
            size = np.bincount(before, minlength=len(levels))
            rate = np.bincount(before, weights=hit, minlength=len(levels)) / np.maximum(size, 1)
            mix = np.bincount(now, minlength=len(levels)) / max(len(now), 1)
            best = max(best, float((np.where(size >= 5, rate, usual) * mix).sum()))
        return best

    def largest_before(self, hit: Mask, size: int) -> float:
        """The largest share among consecutive healthy windows of about `size` rows."""
        parts = len(hit) // max(size, 1)
        return max(float(p.mean()) for p in np.array_split(hit, parts)) if parts >= 2 else float(hit.mean())

    def usual_run(self, values: Floats, size: int) -> float:
        """By how much the share of one exact value exceeds its usual share, at most, in any healthy window of about
        `size` rows: series that hardly move from row to row have long runs by nature. A value that is common all the
        time (0, a default) makes no run."""
        known = values[np.isfinite(values)]
        parts = max(len(known) // max(size, 1), 1)
        if len(known) == 0:
            return 0.0
        codes = np.unique(known, return_inverse=True)[1]
        usual = np.bincount(codes) / len(codes)
        return max(
            float((np.bincount(part, minlength=len(usual)) / len(part) - usual).max())
            for part in np.array_split(codes, parts)
        )

    def place(self, mask: Mask, own: str) -> tuple[int, tuple[str, str] | None]:
        """First row and segment of the affected rows."""
        segment = None
        start = onset_row(mask)
        inside_all = mask[start:]
        best = 8.0
        for name, (_, now, levels) in self.columns.items():
            if name == own:
                continue
            codes = now[start:]
            for code, level in enumerate(levels):
                inside = codes == code
                k, n = int(inside.sum()), len(inside)
                if k < 8 or k > 0.9 * n:
                    continue
                p, q = float(inside_all[inside].mean()), float(inside_all[~inside].mean())
                if p < 0.3 or q > 0.1 * p:
                    continue
                score = bernoulli(inside_all[inside]) + bernoulli(inside_all[~inside]) - bernoulli(inside_all)
                if name in self.spec.segments:
                    score *= 1.2
                if score > best:
                    best, segment = score, (name, level)
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


def values_of(column: pd.Series) -> Floats:
    values: Floats = column.to_numpy(np.float64)
    return values[np.isfinite(values)]


def bernoulli(mask: Mask) -> float:
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

    score = term(k, size) + term(rest, left) - bernoulli(mask)
    score[rest / left <= k / size] = -1.0
    best = int(np.argmax(score))
    return best + 1 if score[best] > 6 else 0
