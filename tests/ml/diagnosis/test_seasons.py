"""A season that came before is named as one; one that did not is drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.diagnosis import Act, Cause, Verdict, diagnose
from tests.ml.diagnosis.loan_book import SPEC, START, champion, rows, served

WEEKS = START - pd.Timedelta(days=35)  # a Sunday


def stretch(days: int, seed: int, start: pd.Timestamp) -> pd.DataFrame:
    """Older customers at weekends; the model is as good for them."""
    frame = rows(days * 96, seed).assign(timestamp=pd.date_range(start, periods=days * 96, freq="15min"))
    weekend = frame["timestamp"].dt.dayofweek >= 5
    return served(frame.assign(age=np.clip(frame["age"] + np.where(weekend, 12, 0), 18, 90)))


def test_a_weekend_like_the_weekends_before_is_seasonal():
    past = stretch(28, 1, WEEKS)
    weekend = stretch(1, 2, START)  # a Sunday

    found = diagnose(SPEC, past[past["timestamp"].dt.dayofweek < 5], weekend, history=past, model=champion())

    assert (found.cause.cause, found.action.kind) == (Cause.SEASONAL, Act.NO_ACTION)
    assert found.verdict is Verdict.DRIFT_HARMLESS
    cited = {fact.source for fact in found.evidence if fact.id in found.cause.supports}
    assert "seasons.look_for_seasons" in cited


def test_a_weekday_like_a_weekend_is_not():
    past = stretch(28, 1, WEEKS)
    monday = stretch(1, 3, START + pd.Timedelta(days=1))
    odd = served(monday.assign(age=monday["age"] + 12))

    found = diagnose(SPEC, past[past["timestamp"].dt.dayofweek < 5], odd, history=past, model=champion())

    assert found.cause.cause is not Cause.SEASONAL
