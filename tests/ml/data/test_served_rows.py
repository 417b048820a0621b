"""What the model server adds to the log: its own columns, and the answers of shadows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pytest

from ml.data.delta import Batch
from ml.data.prediction_log import PredictionLog
from ml.errors import DataError, InvalidInput, Unavailable
from ml.spec import ModelSpec, parse_spec

SPEC = parse_spec("{name: loans, task: binary, features: {income: {type: numeric}}}")
START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(*ids: str, **columns: object) -> pd.DataFrame:
    plain = pd.DataFrame({"prediction_id": ids, "timestamp": START, "income": 1.5, "prediction": 1, "score": 0.5})
    return plain.assign(model_version="3", **columns)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "log")


def test_a_log_from_before_the_server_is_read_as_ever_and_takes_its_rows(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows("p1"), batch_id="file")
    assert "route" not in log.read(SPEC, None)
    with pytest.raises(InvalidInput, match="'route' is no column of the log of 'loans'"):
        log.read(SPEC, None, columns=["route"])
    log.append_predictions(SPEC, rows("p2", route="canary", latency=0.25), batch_id="server", answered=True)
    log.append_predictions(SPEC, rows("p3"), batch_id="another file")
    frame = log.read(SPEC, None)
    assert frame["route"].tolist() == [None, "canary", None]
    assert frame["latency"].fillna(-1).tolist() == [-1, 0.25, -1]
    assert log.read(SPEC, None, columns=["latency"])["latency"].dtype == "float64"


def test_columns_of_a_file_that_happen_to_have_such_names_are_left_out(log: PredictionLog) -> None:
    log.append_predictions(SPEC, rows("p1", route=["A61"], latency=["slow"]), batch_id="file")
    assert set(log.read(SPEC, None)) & {"route", "latency"} == set()


@pytest.mark.parametrize(
    "spec",
    [
        parse_spec("{name: loans, task: binary, features: {income: {type: numeric}, route: {type: categorical}}}"),
        parse_spec("{name: loans, task: binary, entity: route, features: {income: {type: numeric}}}"),
    ],
)
def test_a_feature_or_an_entity_of_such_a_name_goes_before(log: PredictionLog, spec: ModelSpec) -> None:
    log.append_predictions(spec, rows("p1", route="A61", latency=0.25), batch_id="server", answered=True)
    frame = log.read(spec, None)
    assert frame["route"].tolist() == ["A61"]
    assert frame["latency"].tolist() == [0.25]
    assert frame.columns.is_unique


def test_a_stream_goes_on_from_where_it_has_landed(log: PredictionLog) -> None:
    def append(position: int, *ids: str) -> int:
        return log.append_predictions(SPEC, rows(*ids), batch_id=Batch("folder", position)).rows

    assert append(100, "p1") == 1
    assert append(100, "p2") == append(99, "p2") == 0, "as far as this has landed"
    assert log.has_landed("loans", Batch("folder", 100))
    assert not log.has_landed("loans", Batch("folder", 101))
    assert append(200, "p1", "p2") == 1
    transactions = log._table("loans", "predictions").open().transaction_version("batch:folder")
    assert transactions == 200, "one entry, however many commits"


def test_the_table_must_be_the_one_that_was_there(log: PredictionLog, tmp_path: Path) -> None:
    log.append_predictions(SPEC, rows("p1"), batch_id="a")
    known = log.table_id("loans", "predictions")
    assert known is not None
    log.append_predictions(SPEC, rows("p2"), batch_id=Batch("b", table=known))
    other = PredictionLog(tmp_path / "other")
    with pytest.raises(Unavailable, match="is gone; give back the prediction log that was there"):
        other.append_predictions(SPEC, rows("p3"), batch_id=Batch("c", table=known))
    other.append_predictions(SPEC, rows("p3"), batch_id="c")
    with pytest.raises(Unavailable, match="is another one now"):
        other.append_predictions(SPEC, rows("p4"), batch_id=Batch("d", table=known))


def test_a_log_that_vanishes_as_soon_as_it_was_written_to_has_not_acknowledged(
    log: PredictionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append_predictions(SPEC, rows("p1"), batch_id="a")
    write = deltalake.write_deltalake

    def write_and_vanish(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        (tmp_path / "log").rename(tmp_path / "away")

    monkeypatch.setattr("deltalake.write_deltalake", write_and_vanish)
    with pytest.raises(Unavailable, match="vanished while it was written to; give it back"):
        log.append_predictions(SPEC, rows("p2"), batch_id="b")
    monkeypatch.undo()
    (tmp_path / "away").rename(tmp_path / "log")
    assert log.append_predictions(SPEC, rows("p2"), batch_id="b").rows == 0
    assert log.read(SPEC, None)["prediction_id"].tolist() == ["p1", "p2"]


def test_the_first_answer_of_a_shadow_stays(log: PredictionLog) -> None:
    first = log.append_shadow(SPEC, rows("p1", "p2", route="shadow", latency=0.1), batch_id="a")
    again = log.append_shadow(SPEC, rows("p2", "p3", route="shadow", latency=0.2), batch_id="b")
    assert (first.rows, again.rows, again.duplicates) == (2, 1, 1)
    assert log.read_shadow(SPEC, None)["latency"].tolist() == [0.1, 0.1, 0.2]
    assert log.read(SPEC, None).empty
    with pytest.raises(DataError, match="column 'income' is missing"):
        log.append_shadow(SPEC, rows("p4").drop(columns="income"), batch_id="c")
