"""Inputs that moved as they do at this time of the day, the week or the year are seasonal, not drift."""

from __future__ import annotations

import pandas as pd

from ml.diagnosis import shift
from ml.diagnosis.case import Case
from ml.diagnosis.evidence import Kind
from ml.monitors.season import periods, same_season

MIN_ROWS = 100
GONE, MOST = 0.4, 0.7


def look_for_seasons(case: Case) -> None:
    """Hold the shifts against healthy rows of the same season: they are seasonal where they are gone there.

    Only rows with times can be matched, and only windows that are short within a season (a third of it at most).
    """
    current = case.frames.current["timestamp"]
    if not case.shifts or current.isna().any() or case.healthy["timestamp"].isna().any():
        return
    start, end = current.iloc[0].to_pydatetime(), current.iloc[-1].to_pydatetime()
    if start == end:
        return
    alpha = case.spec.monitors.drift.alpha / 5
    for period in periods(case.spec.monitors.drift.season, end - start):
        matched = case.healthy[same_season(period, case.healthy["timestamp"], start, end)]
        if len(matched) < MIN_ROWS:
            continue
        still = {s.feature: s.effect for s in _moved(case, matched, alpha)}
        gone = [s for s in case.shifts if still.get(s.feature, 0.0) < GONE * s.effect]
        if len(gone) >= max(1, MOST * len(case.shifts)):
            case.season = period
            said = f"{len(gone)} of {len(case.shifts)} shifts are gone"
            number = case.ledger.add(
                Kind.DRIFT,
                f"against {len(matched)} healthy rows of the same time of an earlier {period}, {said}",
                len(gone),
                n=len(matched),
                unit="columns",
                source="seasons.look_for_seasons",
                facts={"period": period, "gone": [s.feature for s in gone]},
            )
            case.cite("season", number)
            return


def _moved(case: Case, matched: pd.DataFrame, alpha: float) -> list[shift.Shift]:
    return shift.shifts(case.spec, matched, case.frames.current, alpha=alpha, floor=0.0)
