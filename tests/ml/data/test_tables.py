from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.data.tables import normalize, read_table
from ml.errors import DataError
from ml.spec import ModelSpec, parse_spec

SPEC = parse_spec("""
name: loans
task: binary
target: defaulted
timestamp: at
features:
  income: {type: numeric}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
  note: {type: text}
""")
HEADER = "at,income,region,owner,since,note,prediction,score,defaulted\n"
ROW = "2026-01-01T00:00:00Z,1.5,3,yes,2025-01-01,hello,1,0.7,0\n"


def written(tmp_path: Path, text: str, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_renamed_and_typed(tmp_path: Path) -> None:
    rows = ROW + "2026-01-01 02:00:00+02:00,inf,,no,,,True,,\n2026-01-02,NaN,x,,2025-01-02T03:00,NA,0.0,.2,1.0\n"
    frame = read_table(written(tmp_path, HEADER + rows), SPEC)
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert frame["timestamp"].iloc[1] == pd.Timestamp("2026-01-01T00:00:00Z")
    assert frame["income"].tolist()[:2] == [1.5, np.inf]
    assert np.isnan(frame["income"].iloc[2])
    assert frame["region"].tolist() == ["3", None, "x"]
    assert frame["owner"].tolist() == [True, False, pd.NA]
    assert frame["since"].isna().tolist() == [False, True, False]
    assert frame["note"].tolist() == ["hello", None, None]
    assert frame["prediction"].tolist() == ["1", "1", "0"]
    assert frame["label"].tolist() == ["0", None, "1"]
    assert frame["model_version"].tolist() == ["", "", ""]


def test_the_three_kinds_of_file_read_the_same(tmp_path: Path) -> None:
    expected = read_table(written(tmp_path, HEADER + ROW), SPEC)
    line = (
        '{"at": "2026-01-01T00:00:00Z", "income": 1.5, "region": 3, "owner": true, "since": "2025-01-01", '
        '"note": "hello", "prediction": 1, "score": 0.7, "defaulted": 0}\n'
    )
    json_lines = read_table(written(tmp_path, "\n" + line, "rows.jsonl"), SPEC)
    typed = pd.DataFrame(
        {
            "at": pd.to_datetime(["2026-01-01"]),
            "income": [np.float32(1.5)],
            "region": [3.0],
            "owner": [True],
            "since": pd.to_datetime(["2025-01-01"]),
            "note": ["hello"],
            "prediction": [1],
            "score": [0.7],
            "defaulted": [False],
        }
    )
    typed.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((HEADER + ROW).encode()))
    for other in (json_lines, *(read_table(tmp_path / name, SPEC) for name in ("rows.parquet", "rows.csv.gz"))):
        pd.testing.assert_frame_equal(other, expected)


def test_made_ids_are_those_of_the_content(tmp_path: Path) -> None:
    once = read_table(written(tmp_path, HEADER + ROW + ROW), SPEC)
    later = read_table(written(tmp_path, HEADER + ROW.replace(",0\n", ",1\n") + ROW + ROW), SPEC)
    assert once["prediction_id"].is_unique
    assert later["prediction_id"].tolist()[:2] == once["prediction_id"].tolist()  # labels are no part of an id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rows.csv: the file is empty"),
        (HEADER, "rows.csv: there are no rows"),
        (HEADER.replace("income,", "") + ROW.replace("1.5,", ""), "column 'income' is missing"),
        (
            HEADER + ROW + ROW.replace("2026-01-01T00:00:00Z", "yesterday"),
            "column 'at', row 2: 'yesterday' is not a time",
        ),
        (HEADER + ROW.replace("2026-01-01T00:00:00Z", ""), "column 'at', row 1: is empty"),
        (HEADER + ROW + ROW.replace("1.5", "12 EUR"), "column 'income', row 2: '12 EUR' is not a number"),
        (HEADER + ROW.replace("yes", "perhaps"), "column 'owner', row 1: 'perhaps' is not true or false"),
        (HEADER + ROW + ROW.replace("\n", ",more\n"), "cannot be read as csv (Error tokenizing data"),
    ],
)
def test_broken_files_are_named_with_column_and_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        read_table(written(tmp_path, text), SPEC)
    assert said in str(refused.value)
    assert str(refused.value).startswith("rows.csv: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.csv", SPEC)
    with pytest.raises(DataError, match=r"rows\.xlsx: not a kind of file"):
        read_table(written(tmp_path, "x", "rows.xlsx"), SPEC)
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read as parquet"):
        read_table(written(tmp_path, "not parquet", "rows.parquet"), SPEC)
    with pytest.raises(DataError, match="line 2"):
        read_table(written(tmp_path, '{"at": 1}\n{"at":\n', "rows.jsonl"), SPEC)


def test_repeated_ids_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{key},{ROW}" for key in ("a", "b", "b", "a", "b"))
    with pytest.raises(DataError, match=r"3 prediction ids stand more than once, the first is 'b' \(row 3\)"):
        read_table(written(tmp_path, "prediction_id," + HEADER + rows), SPEC)


def test_looking_at_what_is_broken_refuses_nothing_but_times(tmp_path: Path) -> None:
    header = "prediction_id," + HEADER.replace("owner,", "")
    row = "a," + ROW.replace("yes,", "")
    frame = read_table(written(tmp_path, header + row + row.replace("1.5", "abc")), SPEC, role="current")
    assert frame["owner"].isna().all()
    assert frame["income"].isna().tolist() == [False, True]
    assert frame.attrs["invalid"] == {"income": [1, 2, "abc"]}
    assert len(frame) == 2


def test_labels_alone(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "prediction_id,defaulted\n7,1\n8,\n"), SPEC, role="labels")
    assert frame["prediction_id"].tolist() == ["7", "8"]
    assert frame["label"].tolist() == ["1", None]
    with pytest.raises(DataError, match="1 prediction ids stand more than once, the first is '7'"):
        read_table(written(tmp_path, "prediction_id,defaulted\n7,1\n7,0\n"), SPEC, role="labels")
    with pytest.raises(DataError, match="column 'defaulted' is missing"):
        read_table(written(tmp_path, "prediction_id,outcome\n7,1\n"), SPEC, role="labels")
    corrections = "prediction_id,label,label_timestamp\n7,1,2026-01-01\n7,0,2026-01-02\n"
    assert len(read_table(written(tmp_path, corrections), SPEC, role="labels")) == 2


def test_regression_labels_are_numbers() -> None:
    spec: ModelSpec = parse_spec("name: demand\ntask: regression\nfeatures:\n  hour: {type: numeric}\n")
    frame = normalize(
        pd.DataFrame({"timestamp": ["2026-01-01"], "hour": [1], "prediction": ["2.5"], "label": [3]}), spec
    )
    assert frame[["prediction", "label"]].dtypes.tolist() == [np.float64, np.float64]
    with pytest.raises(DataError, match="column 'prediction', row 1: 'many' is not a number"):
        normalize(pd.DataFrame({"timestamp": ["2026-01-01"], "hour": [1], "prediction": ["many"]}), spec)


def test_a_normal_frame_stays_as_it_is(tmp_path: Path) -> None:
    once = read_table(written(tmp_path, HEADER + ROW), SPEC)
    pd.testing.assert_frame_equal(normalize(once, SPEC), once)


def test_rows_to_train_on_need_a_label_and_no_times(tmp_path: Path) -> None:
    header, row = HEADER.replace("at,", "").replace("prediction,score,", ""), "1.5,3,yes,2025-01-01,hello,0\n"
    frame = read_table(written(tmp_path, header + row + row.replace(",0\n", ",1\n")), SPEC, role="training")
    assert frame["label"].tolist() == ["0", "1"]
    assert frame["timestamp"].is_monotonic_increasing
    assert frame["timestamp"].is_unique
    with pytest.raises(DataError, match="column 'defaulted' is missing"):
        read_table(written(tmp_path, header.replace(",defaulted", "") + row[:-3] + "\n"), SPEC, role="training")
    with pytest.raises(DataError, match="column 'defaulted' is empty in every row"):
        read_table(written(tmp_path, header + row.replace(",0\n", ",\n")), SPEC, role="training")


def test_a_cell_holds_one_value_and_a_name_one_column() -> None:
    spec = parse_spec(
        "name: demand\ntask: regression\nfeatures:\n  hour: {type: numeric}\n  zone: {type: categorical}\n"
    )
    row = {"timestamp": "2026-01-01", "hour": 1, "zone": "a", "prediction": 2.5}
    with pytest.raises(DataError, match=r"column 'zone', row 2: holds \['a'\], and a cell holds one value"):
        normalize(pd.DataFrame([row, row | {"zone": ["a"]}]), spec)
    with pytest.raises(DataError, match="column 'hour' stands twice"):
        normalize(pd.DataFrame([[*row.values(), 1]], columns=[*row, "hour"]), spec)


def test_times_of_every_make_become_utc() -> None:
    spec = parse_spec("name: demand\ntask: regression\nfeatures:\n  hour: {type: numeric}\n")
    noon = pd.Timestamp("2026-01-01T12:00", tz="UTC")
    makes = [
        noon,
        noon.tz_convert("Asia/Kolkata"),
        noon.tz_localize(None),
        noon.to_pydatetime(),
        "2026-01-01T13:00+01:00",
    ]
    made = pd.DataFrame({"timestamp": pd.Series(makes, dtype=object), "hour": 1, "prediction": 0})
    assert normalize(made, spec)["timestamp"].tolist() == [noon] * 5
    days = pd.DataFrame({"timestamp": pd.Series([noon.date()], dtype=object), "hour": 1, "prediction": 0})
    assert normalize(days, spec)["timestamp"].tolist() == [noon.normalize()]
    for wrong in (1767268800, "01/02/2026", "2026-13-01"):
        with pytest.raises(DataError, match="is not a time in ISO 8601"):
            normalize(made.head(1).assign(timestamp=wrong), spec)
