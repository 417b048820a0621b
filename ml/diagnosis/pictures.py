"""What the plots of a diagnosis need: a few hundred numbers, taken from the rows while they are at hand. No JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ml.data.bins import as_numbers
from ml.diagnosis import attribution
from ml.diagnosis.case import Case
from ml.diagnosis.repair import Break
from ml.metrics import Floats, positives, probability
from ml.spec import FeatureType, Task

PIECES, BINS, LEVELS, MOST = 24, 30, 8, 4
Z = 1.96


def pictures(case: Case) -> Mapping[str, Any]:
    """Plain values by kind of evidence; a kind without any is absent."""
    found: dict[str, Any] = {
        "quality": [_break(case, item) for item in (case.moving or case.breaks)[:MOST]],
        "drift": [_distributions(case, s.feature) | {"effect": s.effect} for s in case.shifts[:MOST]],
        "loss": _loss(case),
        "calibration": _calibration(case),
        "estimate": _estimate(case),
        "attribution": _attribution(case),
        "slice": _slices(case),
        "trial": [
            {"action": kind.value, "gain": t.gain, "low": t.low, "high": t.high, "n": t.n}
            for kind, t in case.trials.items()
        ],
    }
    return {kind: value for kind, value in found.items() if value}


def _break(case: Case, item: Break) -> dict[str, Any]:
    share, times = [], []
    for part in np.array_split(np.arange(len(item.rows)), min(PIECES, max(len(item.rows) // 10, 1))):
        share.append(float(item.rows[part].mean()))
        times.append(case.frames.current["timestamp"].iloc[part[0]])
    return _distributions(case, item.features[0], item.rows) | {
        "statement": item.statement, "share": share, "times": _clock(case, times),
        "onset": None if item.onset is None or not case.frames.clock else item.onset,
    }  # fmt: skip


def _clock(case: Case, times: Sequence[Any]) -> list[Any]:
    """Times, or numbers of the pieces where rows have none."""
    return list(times) if case.frames.clock else list(range(len(times)))


def _distributions(case: Case, name: str, rows: Any = None) -> dict[str, Any]:
    """Shares of the healthy and the current rows (those of `rows` only) by bin or by level."""
    healthy, current = case.healthy, case.frames.current
    current = current if rows is None or rows.sum() < 2 else current[rows]
    kind = case.spec.features[name].type
    if kind in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
        before, now = (f[name].astype(str).value_counts(normalize=True) for f in (healthy, current))
        levels = list(before.add(now, fill_value=0).sort_values(ascending=False, kind="stable").index[:LEVELS])
        return {
            "feature": name, "unit": "", "levels": [_short(level) for level in levels],
            "before": [float(before.get(v, 0.0)) for v in levels], "now": [float(now.get(v, 0.0)) for v in levels],
        }  # fmt: skip
    a, b = _numbers(healthy, name, kind), _numbers(current, name, kind)
    unit = {FeatureType.TEXT: "characters", FeatureType.DATETIME: "seconds before the row"}.get(
        kind, case.spec.features[name].unit
    )
    both = np.concatenate([a, b])
    if len(both) == 0:
        return {"feature": name, "unit": unit, "edges": [], "before": [], "now": []}
    reach = 1e6 * max(float(np.abs(a if len(a) else b).max()), 1e-9)  # absurd values stand at the edge
    low, high = np.clip(np.quantile(both, [0.005, 0.995]), -reach, reach)
    wide = float(low) > 0 and high > 50 * low
    edges = np.geomspace(low, high, BINS + 1) if wide else np.linspace(low, high if high > low else low + 1, BINS + 1)
    before, now = (np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / max(len(v), 1) for v in (a, b))
    return {
        "feature": name, "unit": unit, "edges": edges.tolist(), "log": wide, "before": before.tolist(),
        "now": now.tolist(),
    }  # fmt: skip


def _short(text: str) -> str:
    """Short enough for an axis; in quotation marks where it begins or ends with a space."""
    if text != text.strip():
        text = repr(text)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _numbers(frame: pd.DataFrame, name: str, kind: FeatureType) -> Floats:
    values = as_numbers(frame[name], kind, frame)
    return values[np.isfinite(values)]


def _loss(case: Case) -> dict[str, Any]:
    h = case.harm
    if h is None or len(case.loss) == 0:
        return {}
    mean, low, high, times = [], [], [], []
    for part in np.array_split(np.arange(len(case.loss)), max(min(PIECES, len(case.loss) // 25), 1)):
        value, error = float(case.loss[part].mean()), float(case.loss[part].std() / np.sqrt(len(part)))
        mean.append(value)
        low.append(value - Z * error)
        high.append(value + Z * error)
        times.append(case.usable["timestamp"].iloc[part[0]])
    return {
        "mean": mean, "low": low, "high": high, "times": _clock(case, times), "baseline": h.baseline,
        "tolerance": h.tolerance, "onset": h.onset if h.harmed and case.frames.clock else None,
    }  # fmt: skip


def _calibration(case: Case) -> dict[str, Any]:
    """Mean score and mean outcome in tenths of the rows, before and now."""
    if case.spec.task is not Task.BINARY or case.harm is None:
        return {}
    out = {}
    for when, frame in (("before", case.baseline), ("now", case.usable)):
        score = probability(case.spec, frame)
        if score is None or len(score) < 30:
            return {}
        truth = positives(case.spec, frame["label"])
        parts = np.array_split(np.argsort(score, kind="stable"), min(10, len(score) // 15))
        said = [float(score[p].mean()) for p in parts]
        was = [float(truth[p].mean()) for p in parts]
        error = [float(Z * np.sqrt(max(w * (1 - w), 0.01) / len(p))) for w, p in zip(was, parts, strict=True)]
        out[when] = {"said": said, "was": was, "error": error}
    return out


def _estimate(case: Case) -> dict[str, Any]:
    found = case.estimate
    if found is None or found.value is None or found.interval is None:
        return {}
    return {
        "rise": found.value, "low": found.interval.low, "high": found.interval.high, "n": found.n,
        "tolerance": found.threshold, "reference": found.facts["reference"], "unit": found.unit,
    }  # fmt: skip


def _attribution(case: Case) -> dict[str, Any]:
    split = case.split
    if split is None or split.apart:
        return {}
    parts = {"changed relation": split.relation, "harder mix": split.mix, "unseen inputs": split.unseen}
    return {"parts": parts, "relation_se": split.relation_se, "shares": [s.to_json() for s in case.shares]}


def _slices(case: Case) -> list[dict[str, Any]]:
    h = case.harm
    if h is None or not h.harmed:
        return []
    rows, loss = case.usable.iloc[h.start :], case.loss[h.start :]
    found = attribution.slices(case.spec, case.baseline, case.base_loss, rows, loss)[:6]
    return [
        {"text": _short(s.text), "share": s.share, "carries": min(s.carries, 1.0), "harm": s.harm, "low": s.low,
         "outside": s.outside, "n": s.n}
        for s in found
    ]  # fmt: skip
