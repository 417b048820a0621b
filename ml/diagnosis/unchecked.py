"""Columns that nothing could be said about, by name: silence about a column is not health."""

from __future__ import annotations

from collections import defaultdict

from ml.diagnosis.case import Case
from ml.diagnosis.scene import MIN_ROWS
from ml.spec import FeatureType

NAMED = 5
CROWD = 0.5


def name_columns(case: Case) -> None:
    """One entry of `not_checked` for each reason, with the first five columns by name."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in case.spec.features:
        if (why := _reason(case, name)) is not None:
            found[why].append(name)
    for why, names in found.items():
        listed = ", ".join(repr(name) for name in names[:NAMED])
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        case.note(f"breaks and drift of {listed}{more}", why)


def _reason(case: Case, name: str) -> str | None:
    healthy, current = case.healthy[name], case.frames.current[name]
    if name in case.frames.vanished:
        return None  # named as missing already
    if healthy.notna().sum() < MIN_ROWS:
        return f"the healthy rows have fewer than {MIN_ROWS} values"
    if current.notna().sum() == 0:
        return "the current rows have no value"
    kind = case.spec.features[name].type
    if kind is not FeatureType.TEXT and healthy.nunique() == 1:
        return "the healthy rows have one value only"
    if kind is FeatureType.CATEGORICAL and current.nunique() > max(20, CROWD * current.notna().sum()):
        return "nearly every row has a category of its own; too rare to compare one by one"
    return None
