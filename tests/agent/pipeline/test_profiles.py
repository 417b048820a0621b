"""Windows too large to read: counted where the rows are, without the harmed ones, and each hour once."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from sqlalchemy import select

from agent.pipeline import profiles
from agent.pipeline.monitor import keep, look
from agent.store.tables import HourlyProfile, Model, UnfitWindow
from ml.data.bins import make_bins
from ml.data.delta import Batch
from ml.data.profiles import profile_frame, profile_hours
from ml.results import Window
from ml.spec import parse_spec
from tests.agent.conftest import SPEC, rows


def hours(bench):
    with bench.services.store.read() as session:
        return session.scalars(select(HourlyProfile.hour).order_by(HourlyProfile.hour)).all()


def counted(bench, bins, window):
    with bench.services.store.read() as session:
        version = bench.services.log.version("churn")
        return profiles.count_window(bench.services, session, bench.spec, bins, window, bench.clock(), version)


def kept(bench, bins, found):
    with bench.services.store.write() as session:
        profiles.keep_hours(session, "churn", bins.id, found.hours)


def served(bench, start, count, seed):
    frame = rows(start, count, seed=seed).assign(prediction="1", score=0.5).drop(columns="label")
    bench.services.log.append_predictions(bench.spec, frame, batch_id=f"{start}-{seed}")


def test_a_large_window_is_counted_by_the_hour_and_each_hour_once(bench):
    start = bench.clock() - timedelta(days=2)
    served(bench, start, 288, seed=1)
    window = Window.before(bench.clock(), timedelta(days=2))
    bins = make_bins(bench.spec, rows(start, 100, seed=5).assign(prediction="1", score=0.5))
    hole = Window(start + timedelta(hours=4, minutes=30), start + timedelta(hours=9))
    with bench.services.store.write() as session:
        session.add(UnfitWindow(model="churn", start=hole.start, end=hole.end, features=[], reason="broken"))

    first = counted(bench, bins, window)
    frame = bench.services.log.read(bench.spec, window)
    healthy = frame[(frame["timestamp"] < hole.start) | (frame["timestamp"] >= hole.end)]
    whole = profile_frame(healthy, bins)
    assert first.profile.counts.tolist() == whole.counts.tolist()
    assert (first.profile.rows, first.profile.first, first.profile.last) == (len(healthy), whole.first, whole.last)
    kept(bench, bins, first)
    assert len(hours(bench)) == 43  # 48 less the harmed 4, and one that is harmed by half

    again = counted(bench, bins, window)
    assert again.hours == {}
    assert again.profile.counts.tolist() == whole.counts.tolist()

    served(bench, start + timedelta(hours=20), 6, seed=2)
    late = counted(bench, bins, window)
    assert list(late.hours) == [start + timedelta(hours=20)]
    assert late.profile.rows == whole.rows + 6
    kept(bench, bins, late)
    assert counted(bench, bins, window).hours == {}


def test_what_is_older_than_a_quarter_is_forgotten(bench):
    start = bench.clock() - timedelta(hours=2)
    served(bench, start, 12, seed=1)
    bins = make_bins(bench.spec, rows(start, 100, seed=5).assign(prediction="1", score=0.5))
    kept(bench, bins, counted(bench, bins, Window(start, bench.clock())))
    assert len(hours(bench)) == 2
    bench.clock.advance("91d")
    served(bench, bench.clock() - timedelta(hours=1), 6, seed=2)
    kept(bench, bins, counted(bench, bins, Window.before(bench.clock(), timedelta(hours=1))))
    assert hours(bench) == [bench.clock() - timedelta(hours=1)]


@pytest.mark.parametrize(
    ("holes", "left"),
    [
        ([], [(0, 10)]),
        ([(-5, -1), (11, 12)], [(0, 10)]),
        ([(3, 4), (2, 3.5), (8, 20)], [(0, 2), (4, 8)]),
        ([(-1, 11)], []),
        ([(0, 1), (9, 10)], [(1, 9)]),
    ],
)
def test_what_is_left_of_a_window(at, holes, left):
    def window(pair):
        return Window(*(at("2026-01-05 00:00") + timedelta(hours=hour) for hour in pair))

    assert profiles.outside(window((0, 10)), [window(hole) for hole in holes]) == [window(part) for part in left]


def test_what_was_not_kept_row_by_row_is_part_of_the_profile(bench, monkeypatch):
    """Whether the rows that were kept are read or counted where they are."""
    spec = parse_spec(SPEC + "logging: {sample: 0.5}\n")
    start = bench.clock() - timedelta(days=2)
    served(bench, start, 288, seed=1)
    window = Window.before(bench.clock(), timedelta(days=2))
    bins = make_bins(spec, rows(start, 100, seed=5).assign(prediction="1", score=0.5))
    others = rows(start, 60, seed=9).assign(prediction="0", score=0.1).drop(columns="label")
    unkept = {(hour, "1"): profile for hour, profile in profile_hours(others, bins).items()}
    bench.services.log.profiles.append("churn", unkept, Batch("b"))
    everything = pd.concat([bench.services.log.read(spec, window), others])

    def whole(frame):
        with bench.services.store.read() as session:
            data = bench.services.log.version("churn")
            return profiles.whole_profile(bench.services, session, spec, bins, frame, window, bench.clock(), data)

    frame = bench.services.log.read(spec, window)
    read, hours = whole(frame)
    assert hours == {}
    assert read.counts.tolist() == profile_frame(everything, bins).counts.tolist()
    assert bench.services.log.profiles.bins("churn").id == bins.id
    monkeypatch.setattr(profiles, "LOOK_ROWS", 100)
    counted, hours = whole(bench.services.log.read(spec, window, most=100))
    assert len(hours) == 48
    assert counted.counts.tolist() == read.counts.tolist()


def test_a_look_at_more_rows_than_it_reads_sees_the_same(bench, monkeypatch):
    start = bench.clock() - timedelta(days=6)
    served(bench, start, 6 * 144, seed=1)
    with bench.services.store.write() as session:
        model = session.get_one(Model, "churn")
        model.reference_start, model.reference_end = start, start + timedelta(days=3)
    whole = look(bench.services, bench.spec, bench.clock())
    assert whole.hours == {}
    monkeypatch.setattr(profiles, "LOOK_ROWS", 100)
    part = look(bench.services, bench.spec, bench.clock())
    assert (part.rows, len(part.hours)) == (whole.rows, 48)
    assert part.profile.counts.tolist() == whole.profile.counts.tolist()

    def counted(seen):
        return {
            (m.monitor, m.feature): (m.value, m.n, m.status)
            for m in seen.measurements
            if m.monitor.startswith(("quality", "drift"))
        }

    assert len(counted(whole)) > 10
    assert counted(part) == counted(whole)
    with bench.services.store.write() as session:
        keep(session, part)
    assert len(hours(bench)) == 48
    bench.clock.advance("1h")
    served(bench, bench.clock() - timedelta(hours=1), 6, seed=2)
    later = look(bench.services, bench.spec, bench.clock())
    assert list(later.hours) == [bench.clock() - timedelta(hours=1)]
    assert later.rows == whole.rows
