"""Texts and times that arrive broken: each is named with its fingerprint, its repair, and since when."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.diagnosis import Act, Cause, Diagnosis, diagnose
from ml.diagnosis.breaks import find_breaks
from ml.diagnosis.repair import Break, BreakKind
from tests.ml.diagnosis.help_desk import OTHER, SPEC, champion, reference, rows, sentence, served

N, FIRST = 600, 200
HIT = np.arange(N) >= FIRST


def fresh() -> pd.DataFrame:
    return rows(N, 11)


def broken(change: Callable[[pd.Series], pd.Series], column: str) -> pd.DataFrame:
    frame = fresh()
    return frame.assign(**{column: frame[column].where(~HIT, change(frame[column]))})


def garbled(text: str) -> str:
    return text.encode("utf-8").decode("cp1252", errors="replace")


def to_epoch(column: pd.Series, factor: float) -> pd.Series:
    seconds = column.astype(np.int64) / 1e6
    return pd.to_datetime(seconds * factor, unit="s", utc=True).astype("datetime64[us, UTC]")


RNG = np.random.default_rng(0)
FAULTS: dict[str, tuple[BreakKind, pd.DataFrame]] = {
    "empty": (BreakKind.EMPTY, broken(lambda c: c.map(lambda _: ""), "text")),
    "cut": (BreakKind.TRUNCATED, broken(lambda c: c.str[:30], "text")),
    "garbled": (BreakKind.ENCODING, broken(lambda c: c.map(garbled), "text")),
    "unreadable": (BreakKind.ENCODING, broken(lambda c: c.str.replace("[äöüß]", "\ufffd", regex=True), "text")),
    "language": (BreakKind.VOCABULARY, broken(lambda c: c.map(lambda _: sentence(OTHER.split(), RNG)), "text")),
    "zone": (BreakKind.CLOCK, broken(lambda c: c - pd.Timedelta(hours=5, minutes=30), "opened")),
    "seconds as milliseconds": (BreakKind.CLOCK, broken(lambda c: to_epoch(c, 1e-3), "opened")),
    "still": (BreakKind.STALE, broken(lambda c: pd.Series(c.iloc[FIRST], index=c.index), "opened")),
    "ahead": (BreakKind.CLOCK, broken(lambda c: c + pd.to_timedelta(RNG.uniform(1, 90, N), unit="D"), "opened")),
}  # fmt: skip


def breaks(frame: pd.DataFrame) -> list[Break]:
    return find_breaks(SPEC, reference(), frame, {}, ())


def ask(frame: pd.DataFrame) -> Diagnosis:
    return diagnose(SPEC, reference(), served(frame), model=champion())


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_text_or_time_is_recognised_with_its_onset(name: str):
    kind, frame = FAULTS[name]

    (found,) = breaks(frame)

    assert found.kind is kind
    assert abs(found.start - FIRST) < 30


def test_healthy_texts_and_times_have_no_break():
    assert [breaks(rows(N, seed)) for seed in (11, 12, 13)] == [[], [], []]


@pytest.mark.parametrize("name", ["garbled", "zone", "seconds as milliseconds"])
def test_what_can_be_undone_is_undone(name: str):
    _, frame = FAULTS[name]
    (found,) = breaks(frame)
    (column,) = found.features

    repaired = found.repair.apply(frame, found.rows)[column]

    assert (repaired == fresh()[column]).mean() > 0.97 if column == "text" else True
    if column == "opened":
        assert (repaired - fresh()[column]).abs().median() < pd.Timedelta(seconds=2)
    assert found.repair.parameters()


@pytest.mark.parametrize("name", ["empty", "garbled", "zone", "seconds as milliseconds", "still"])
def test_the_diagnosis_sends_it_to_the_owner_of_the_data(name: str):
    found = ask(FAULTS[name][1])

    assert (found.cause.cause, found.action.kind) == (Cause.DATA_PIPELINE_FAULT, Act.FIX_DATA)
    assert found.action.parameters["notify"] == "#desk-data"


def test_texts_and_times_that_move_are_seen_to_move():
    frame = fresh()
    long = frame.assign(
        text=frame["text"] + " " + frame["text"],
        opened=frame["opened"] - pd.to_timedelta(RNG.gamma(2, 30, N), unit="min"),
    )

    moved = {fact.feature for fact in ask(long).evidence if fact.source == "shift.shifts"}

    assert {"text", "opened"} <= moved
