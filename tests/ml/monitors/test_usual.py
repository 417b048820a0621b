"""How much healthy data moves by itself, and the level of one look among many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import make_bins
from ml.monitors.usual import Jitter, jitter, level, pieces, tail
from ml.results import Window
from ml.spec import parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")


def frame(n: int, days: float, seed: int = 0) -> pd.DataFrame:
    times = pd.Timestamp(START) + pd.to_timedelta(np.linspace(0, days, n), unit="D")
    return pd.DataFrame({"timestamp": times.as_unit("us"), "x": np.random.default_rng(seed).normal(size=n)})


@pytest.mark.parametrize(
    ("n", "days", "window", "count"),
    [(5_000, 20, 7, 8), (5_000, 20, 1, 20), (5_000, 400, 1, 30), (200, 20, 7, 5), (100, 20, 7, 0), (5_000, 0, 7, 0)],
)
def test_a_reference_is_cut_into_pieces_of_about_a_window(n: int, days: float, window: int, count: int) -> None:
    rows = frame(n, days)
    cut = pieces(rows, make_bins(SPEC, rows), timedelta(days=window))
    assert len(cut) == count
    assert sum(piece.rows for piece in cut) == (n if count else 0)


def test_rows_without_times_are_not_cut() -> None:
    rows = frame(1_000, 20)
    bins = make_bins(SPEC, rows)
    assert pieces(rows.drop(columns="timestamp"), bins, timedelta(days=7)) == ()
    assert pieces(rows.assign(timestamp=rows["timestamp"].where(rows.index > 3)), bins, timedelta(days=7)) == ()


@pytest.mark.parametrize("amount", [0.0, 0.01, 0.05])
def test_a_look_at_windows_that_wander_keeps_its_level(amount: float) -> None:
    """The statistic of healthy windows: sampling, and a movement in one direction, learned from eight stretches."""
    rng = np.random.default_rng(1)
    freedom, expectation, draws, alpha = 9, 0.01, 6_000, 0.01

    def healthy(size: int) -> np.ndarray:
        return expectation * rng.chisquare(freedom, size) / freedom + amount * rng.chisquare(1, size)

    alarms = sum(
        tail(float(healthy(1)[0]), freedom, expectation, jitter(healthy(8) - expectation)) <= alpha
        for _ in range(draws)
    )
    assert alarms / draws < 2.5 * alpha
    gone = expectation + 60 * max(amount, 0.01)
    assert tail(gone, freedom, expectation, jitter(healthy(8) - expectation)) < alpha, "what is gone far is seen"


def test_too_few_stretches_teach_nothing() -> None:
    assert jitter([0.5, 0.5, 0.5]) == Jitter()
    assert tail(0.02, 10, 0.01, Jitter()) == pytest.approx(0.029, abs=0.002)


def test_the_level_of_a_look_grows_with_its_window_and_not_with_how_often_it_is_made() -> None:
    day, week = (Window.before(START, timedelta(days=d)) for d in (1, 7))
    assert level(0.05, week) == pytest.approx(7 * level(0.05, day))
    assert level(0.05, Window.before(START, timedelta(days=500))) == 0.05 / 4
