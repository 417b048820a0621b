"""A whole look, over weeks: quiet while a stream is healthy though it wanders, and awake when it is not."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks.alarms.quarter import watch_days
from benchmarks.alarms.streams import DAY, START, stream
from ml.monitors import rise as rises
from ml.monitors.drift import drift_of_frames
from ml.monitors.look import Baseline, whole_look
from ml.results import Measurement, Status, Window

WEEK = timedelta(days=7)


@pytest.mark.parametrize("kind", ["jitter", "wander"])
def test_weeks_of_a_healthy_stream_that_wanders_raise_no_alert(kind: str) -> None:
    assert watch_days(stream(kind, 3, per_day=150), 16, per_day=150).alarms == {}


def test_the_same_stream_tested_look_by_look_would_alarm() -> None:
    """So that the quiet above is not that of monitors that never say anything."""
    made = stream("wander", 3, per_day=500)
    alarms = 0
    for k in range(15):
        found = drift_of_frames(made.spec, made.reference, made.day(k, 600, 0.0), Window(START, START + DAY))
        alarms += any(m.facts["p_adjusted"] <= 0.05 for m in found if "p_adjusted" in m.facts)
    assert alarms > 5, "one of twenty is asked for"


def test_five_points_of_error_raise_the_alert_within_four_days() -> None:
    found = watch_days(stream("jitter", 4), 12, harm=0.05, fell=5, stop=True)
    day = found.first("performance.rise")
    assert day is not None
    assert 5 < day <= 9, "labels are a day late"


def look(
    change: dict[str, object],
    *,
    days: int = 7,
    last: int = 3,
    label_timestamp: datetime | None = None,
    **options: object,
) -> dict[tuple[str, str | None], Measurement]:
    """One look at a week, the last days of it changed."""
    made = stream("steady", 5, per_day=300)
    if options:
        made = dataclasses.replace(made, spec=made.spec.model_copy(update=options))
    parts = [made.day(k, 300, 0.0) for k in range(days)]
    parts = [part.assign(**change) if k >= days - last else part for k, part in enumerate(parts)]
    at = START + days * DAY
    frame = pd.concat(parts, ignore_index=True)
    if label_timestamp is not None:
        frame["label_timestamp"] = pd.Timestamp(label_timestamp)
    frame = frame.assign(label=frame["label"].where(frame["label_timestamp"] <= at))
    recent, mature = Window.before(at, WEEK), Window.before(at - made.spec.label_delay, WEEK)
    seen = whole_look(
        Baseline(made.spec, made.reference),
        frame,
        recent=recent,
        mature=mature,
        at=at,
        rise=rises.begin(made.spec, made.reference, "1"),
        fresh=frame[frame["label"].notna()],
        passed=DAY,
    )
    return {(m.monitor, m.feature or m.segment): m for m in seen.measurements}


def test_every_type_of_column_is_looked_at() -> None:
    found = look({})
    drift = {feature for monitor, feature in found if monitor == "drift.psi"}
    assert drift == {
        "income", "amount", "balance", "visits", "region", "shop", "member", "rare", "opened", "note",
        "prediction", "score",
    }  # fmt: skip
    assert ("drift.vocabulary", "note") in found
    assert not [key for key, m in found.items() if m.status is Status.BREACH]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"income": 99.0}, {("quality.out_of_range", "income"), ("drift.psi", "income")}),
        ({"amount": np.nan}, {("quality.null_share", "amount"), ("drift.psi", "amount")}),
        ({"region": "north-west"}, {("quality.new_category", "region"), ("drift.psi", "region")}),
        ({"member": True}, {("drift.psi", "member")}),
        ({"opened": START - timedelta(days=9000)}, {("quality.out_of_range", "opened"), ("drift.psi", "opened")}),
        ({"note": "zahlt spät"}, {("drift.vocabulary", "note")}),
        ({"score": 0.99, "prediction": "1"}, {("drift.psi", "score"), ("drift.psi", "prediction")}),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else None,
)
def test_a_break_is_seen_in_its_column_at_the_level_of_the_schedule(change: dict, seen: set) -> None:
    if "opened" in change:
        change = {"opened": pd.Timestamp(change["opened"])}
    # What has two levels moves a lot by itself, as far as a few stretches tell: it takes the whole week to be certain.
    found = look(change, last=7 if {"member", "prediction"} & set(change) else 3)
    breaches = {key for key, m in found.items() if m.status is Status.BREACH}
    assert seen <= breaches
    allowed = {"score": {"score", "prediction"}}.get(next(iter(change)), {next(iter(change))})
    assert {feature for monitor, feature in breaches if not monitor.startswith("performance")} <= allowed


def test_each_segment_that_the_spec_names_has_its_own_loss() -> None:
    found = look({}, segments=("region",))
    assert {segment for monitor, segment in found if monitor == "performance.segment"} == {
        "region=n", "region=s", "region=e", "region=w"
    }  # fmt: skip
    assert {m.status for key, m in found.items() if key[0] == "performance.segment"} == {Status.OK}


def test_late_labels_bring_an_estimate_which_is_never_called_healthy() -> None:
    assert ("estimation.loss", None) not in look({}), "where labels are here, nothing is estimated"
    found = look({}, label_timestamp=START + timedelta(days=90))
    estimate = found[("estimation.loss", None)]
    assert estimate.status is Status.OK
    assert estimate.interval is not None
    assert "blind" in estimate.detail
    assert found[("performance.loss", None)].status is Status.NO_DATA
    assert found[("performance.rise", None)].status is Status.NO_DATA
