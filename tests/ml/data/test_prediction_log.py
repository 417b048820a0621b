from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data.prediction_log import DataVersion, PredictionLog
from ml.errors import DataError, InvalidInput, NotFound, Unavailable
from ml.results import Window
from ml.spec import parse_spec

SPEC = parse_spec("""
name: loans
task: binary
entity: customer
label_delay: 2d
features:
  income: {type: numeric}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
""")
START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))


def rows(n: int, first: int = 0, **changes: Any) -> pd.DataFrame:
    """Row k comes at hour k."""
    numbers = np.arange(first, first + n)
    frame = pd.DataFrame(
        {
            "prediction_id": [f"p{k}" for k in numbers],
            "timestamp": pd.Timestamp(START) + pd.to_timedelta(numbers, unit="h"),
            "income": numbers * 1.5,
            "region": ["north" if k % 2 else None for k in numbers],
            "owner": pd.array([None if k % 3 == 0 else bool(k % 2) for k in numbers], dtype="boolean"),
            "since": pd.Timestamp("2020-01-01", tz="UTC"),
            "customer": [f"c{k % 4}" for k in numbers],
            "prediction": np.where(numbers % 2, 1, 0),
            "score": 0.25,
            "model_version": "1",
        }
    )
    return frame.assign(**changes)


def labels(**known: object) -> pd.DataFrame:
    return pd.DataFrame({"prediction_id": list(known), "label": list(known.values())})


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


def test_what_is_appended_is_read_back_in_order(log: PredictionLog) -> None:
    given = rows(10)
    appended = log.append_predictions(SPEC, given.sample(frac=1, random_state=0), batch_id="a")
    assert (appended.rows, appended.duplicates) == (10, 0)
    frame = log.read(SPEC, WEEK)
    assert frame["prediction_id"].tolist() == given["prediction_id"].tolist()
    assert frame["income"].tolist() == given["income"].tolist()
    assert frame["region"].tolist() == given["region"].tolist()
    assert frame["owner"].tolist() == given["owner"].tolist()
    assert frame["prediction"].tolist() == ["0", "1"] * 5
    assert [str(frame[c].dtype) for c in ("timestamp", "since", "label_timestamp")] == ["datetime64[us, UTC]"] * 3
    assert frame["label"].isna().all()
    assert frame["customer"].iloc[5] == "c1"


def test_a_window_is_half_open_and_hides_what_is_to_come(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(10), batch_id="a")
    window = Window(START + timedelta(hours=2), START + timedelta(hours=5))
    assert log.read(SPEC, window)["prediction_id"].tolist() == ["p2", "p3", "p4"]
    assert log.read(SPEC, window, as_of=START + timedelta(hours=4))["prediction_id"].tolist() == ["p2", "p3"]
    assert log.read(SPEC, Window(START - timedelta(days=9), START)).empty
    assert log.read(SPEC, window, columns=["income", "label"]).columns.tolist() == ["income", "label"]
    with pytest.raises(InvalidInput, match="'salary' is no column of the log of 'loans'"):
        log.read(SPEC, window, columns=["salary"])


def test_an_append_happens_once_per_batch_and_once_per_id(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(5), batch_id="a")
    again = log.append_predictions(SPEC, rows(5), batch_id="a")
    overlapping = log.append_predictions(SPEC, rows(5, first=3), batch_id="b")
    other = log.append_predictions(SPEC, rows(3, first=20), batch_id="a")
    assert (again.rows, again.duplicates) == (0, 5)
    assert (overlapping.rows, overlapping.duplicates) == (3, 2)
    assert other.rows == 0, "a batch id stands for one batch"
    assert log.count(SPEC) == (8, 0)


def test_late_labels_are_known_from_their_time_on(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(4), batch_id="a")
    log.append_labels(SPEC, labels(p0=1), batch_id="l1", as_of=START + timedelta(days=1))
    log.append_labels(SPEC, labels(p1=0), batch_id="l2", as_of=START + timedelta(days=3))
    early = log.read(SPEC, WEEK, as_of=START + timedelta(days=2))
    assert early["label"].tolist() == ["1", None, None, None]
    assert log.read(SPEC, WEEK)["label"].tolist() == ["1", "0", None, None]
    assert log.count(SPEC, as_of=START + timedelta(days=2)) == (4, 1)


def test_a_correction_wins_and_the_past_stays_as_it_was(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(2), batch_id="a")
    log.append_labels(SPEC, labels(p0=1, p1=1), batch_id="l1", as_of=START + timedelta(days=1))
    corrected = log.append_labels(SPEC, labels(p0=0, p1=1), batch_id="l2", as_of=START + timedelta(days=3))
    assert (corrected.rows, corrected.duplicates) == (1, 1)
    assert log.read(SPEC, WEEK, as_of=START + timedelta(days=2))["label"].tolist() == ["1", "1"]
    assert log.read(SPEC, WEEK)["label"].tolist() == ["0", "1"]
    same_moment = log.append_labels(SPEC, labels(p0=1), batch_id="l3", as_of=START + timedelta(days=3))
    assert same_moment.rows == 1
    assert log.read(SPEC, WEEK)["label"].tolist() == ["1", "1"], "of one moment, what was said last"


def test_labels_may_come_before_their_prediction(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(1), batch_id="a")
    early = log.append_labels(SPEC, labels(p0=1, p8=1, p9=0), batch_id="l1", as_of=START)
    assert (early.rows, early.unknown, early.first_unknown) == (3, 2, "p8")
    log.append_predictions(SPEC, rows(9, first=1), batch_id="b")
    assert log.read(SPEC, WEEK)["label"].tolist()[8:] == ["1", "0"]


def test_labels_in_the_rows_count_after_the_delay(log: PredictionLog) -> None:
    appended = log.append_predictions(SPEC, rows(3, label=[1, None, 0]), batch_id="a")
    assert appended.labels == 2
    assert log.read(SPEC, WEEK)["label"].tolist() == ["1", None, "0"]
    assert log.count(SPEC, as_of=START + timedelta(days=1)) == (3, 0)


def test_rows_without_a_label_are_left_out_and_counted(log: PredictionLog) -> None:
    appended = log.append_labels(SPEC, labels(p0=None, p1=1), batch_id="l", as_of=START)
    assert (appended.rows, appended.empty) == (1, 1)


def test_a_pinned_version_reads_the_same_rows_for_ever(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(3), batch_id="a")
    log.append_labels(SPEC, labels(p0=1), batch_id="l1", as_of=START)
    pinned = log.version("loans")
    log.append_predictions(SPEC, rows(3, first=3), batch_id="b")
    log.append_labels(SPEC, labels(p0=0, p1=1), batch_id="l2", as_of=START + timedelta(days=1))
    log.compact("loans")
    for version in (pinned, str(pinned)):
        frame = log.read(SPEC, WEEK, version=version)
        assert frame["label"].tolist() == ["1", None, None]
    assert len(log.read(SPEC, WEEK)) == 6
    with pytest.raises(NotFound, match="no version 99"):
        log.read(SPEC, WEEK, version=DataVersion(99, 0))
    with pytest.raises(InvalidInput, match=r"looks like p12\.l7"):
        log.read(SPEC, WEEK, version="12")


def test_an_empty_log_is_empty_and_a_missing_place_is_unavailable(log: PredictionLog, tmp_path: Path) -> None:
    assert log.read(SPEC, WEEK).columns.tolist()[:3] == ["prediction_id", "timestamp", "income"]
    assert log.span(SPEC) is None
    assert log.newest(SPEC) is None
    assert log.count(SPEC) == (0, 0)
    assert log.versions_seen(SPEC).empty
    assert str(log.version("loans")) == "p0.l0"
    unmounted = PredictionLog(tmp_path / "unmounted" / "log")
    with pytest.raises(Unavailable, match="does not exist"):
        unmounted.read(SPEC, WEEK)
    with pytest.raises(Unavailable, match="does not exist"):
        unmounted.append_predictions(SPEC, rows(1), batch_id="a")


def test_a_place_that_cannot_be_written_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="cannot be reached"):
        PredictionLog(tmp_path / "log").append_predictions(SPEC, rows(1), batch_id="a")
    assert (tmp_path / "log").read_text() == "a file where the folder should be"


def test_broken_rows_leave_nothing_behind(log: PredictionLog) -> None:
    with pytest.raises(DataError, match="predictions of 'loans': column 'income', row 2"):
        log.append_predictions(SPEC, rows(2, income=["1", "much"]), batch_id="a")
    assert log.count(SPEC) == (0, 0)


def test_span_newest_and_versions_seen(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(3), batch_id="a")
    log.append_predictions(SPEC, rows(2, first=3, model_version="2"), batch_id="b")
    span = log.span(SPEC)
    assert span is not None
    assert (span.start, log.newest(SPEC)) == (START, START + timedelta(hours=4))
    assert span.contains(START + timedelta(hours=4))
    seen = log.versions_seen(SPEC)
    assert seen["model_version"].tolist() == ["1", "2"]
    assert seen["rows"].tolist() == [3, 2]
    assert seen["first"].iloc[1] == pd.Timestamp(START + timedelta(hours=3))


def test_a_feature_that_is_added_later_is_missing_before(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(2), batch_id="a")
    grown = parse_spec(
        "name: loans\ntask: binary\nfeatures:\n  income: {type: numeric}\n  region: {type: categorical}\n"
        "  owner: {type: boolean}\n  since: {type: datetime}\n  age: {type: numeric}\n"
    )
    log.append_predictions(grown, rows(2, first=2, age=30.0), batch_id="b")
    assert log.read(grown, WEEK)["age"].isna().tolist() == [True, True, False, False]


def test_a_feature_that_changes_its_type_is_refused(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(2), batch_id="a")
    other = parse_spec("name: loans\ntask: binary\nfeatures:\n  region: {type: datetime}\n")
    with pytest.raises(DataError, match="column 'region' changed its type from string to timestamp"):
        log.append_predictions(other, rows(2, first=2, region="2026-01-01"), batch_id="b")
    assert log.count(SPEC) == (2, 0)


def test_infinities_survive(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(3, income=[np.inf, -np.inf, np.nan]), batch_id="a")
    assert log.read(SPEC, WEEK)["income"].tolist()[:2] == [np.inf, -np.inf]


WRITER = """
import sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from test_prediction_log import SPEC, rows
from ml.data.prediction_log import PredictionLog
log, me = PredictionLog(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
landed = [log.append_predictions(SPEC, rows(4, first=10 * k + 2 * me), batch_id=f"{me}-{k}").rows for k in range(8)]
print(sum(landed))
"""


def test_two_processes_append_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    here = Path(__file__)
    environment = {**os.environ, "PYTHONPATH": str(here.parents[3])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(here.parent), str(tmp_path / "log"), str(me)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for me in (0, 1)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    landed = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    frame = PredictionLog(tmp_path / "log").read(SPEC, None)
    assert frame["prediction_id"].is_unique
    assert len(frame) == sum(landed) == 8 * 6, "each round shares two of its four rows with the other process"


def test_ids_are_known_after_other_writers_and_after_compaction(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows(3), batch_id="a")
    PredictionLog(log.uri).append_predictions(SPEC, rows(3, first=3), batch_id="b")
    assert log.append_predictions(SPEC, rows(8), batch_id="c").rows == 2
    log.compact("loans")
    assert log.append_predictions(SPEC, rows(9), batch_id="d").rows == 1
    assert log.count(SPEC) == (9, 0)
