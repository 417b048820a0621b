from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml.data.prediction_log import PredictionLog
from ml.serving.backlog import behind
from ml.serving.drain import Drain
from ml.serving.journal import Journal, folders
from ml.serving.rows import Answers, Rows
from ml.spec import parse_spec

SPEC = parse_spec("""
name: loans
task: binary
entity: customer
features:
  income: {type: numeric}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
""")
NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def write(journal: Journal, *ids: str, at: float = NOW, route: str = "champion", version: str = "3") -> None:
    n = len(ids)
    columns = {
        "income": [1.5] * n,
        "region": ["north"] * n,
        "owner": [None] * n,
        "since": ["2020-01-01T00:00:00+00:00"] * n,
        "customer": ["c1"] * n,
    }
    journal.record("loans", route, version, Rows(columns, ids), Answers(["1"] * n, [0.25] * n), 0.002, at)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


@pytest.fixture
def drain(journal: Journal, log: PredictionLog) -> Drain:
    return Drain(journal.root, log, {"loans": SPEC}.get)


def test_what_was_answered_comes_into_the_log(journal: Journal, log: PredictionLog, drain: Drain) -> None:
    write(journal, "p1")
    write(journal, "p2", "p3", at=NOW + 1, route="canary", version="4")
    assert drain.once() == 3
    frame = log.read(SPEC, None)
    assert frame["prediction_id"].tolist() == ["p1", "p2", "p3"]
    assert frame["model_version"].tolist() == ["3", "4", "4"]
    assert frame["route"].tolist() == ["champion", "canary", "canary"]
    assert frame["latency"].tolist() == [0.002] * 3
    assert frame["customer"].tolist() == ["c1"] * 3
    assert frame["timestamp"].iloc[0].isoformat() == "2026-01-01T00:00:00+00:00"
    assert behind(journal.root) == 0
    assert drain.once() == 0
    write(journal, "p4")
    assert drain.once() == 1


def test_a_folder_whose_process_is_gone_is_drained_and_removed(
    journal: Journal, log: PredictionLog, drain: Drain
) -> None:
    write(journal, "p1")
    other = Journal(journal.root)
    write(other, "p2")
    other.close()
    assert drain.once() == 2
    assert folders(journal.root) == [journal.folder]
    assert log.count(SPEC) == (2, 0)
