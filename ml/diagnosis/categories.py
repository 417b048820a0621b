"""Categories never seen: renamed, spelled or encoded otherwise, or filled with one value."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ml.diagnosis.repair import Break, BreakKind, Repair
from ml.diagnosis.scene import MIN_ROWS, Scene, onset_row

_FILLERS = frozenset(
    {"", "unknown", "unk", "missing", "other", "others", "none", "null", "nan", "na", "nil", "notavailable"}
    | {"default", "undefined", "unspecified", "invalid", "error", "tbd", "0", "1", "99", "999", "9999"}
)
"""What pipelines write where they know nothing (letters and digits only; `-1` reads as 1)."""


def categories(scene: Scene, name: str) -> Iterator[Break]:
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
        filler = fresh.iloc[0] > 0.8 * fresh.sum() and _plain(str(fresh.index[0])) in _FILLERS
        certain = bool(mapping) or share > 0.2 or (filler and share > 0.05)
        yield scene.make(kind, (name,), new, repair, certain, what, float(share * len(cur)))
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
