from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.prediction_log import PredictionLog
from ml.data.tables import normalize
from ml.serving.drain import Drain
from ml.serving.drained import labels_frame
from ml.serving.journal import Journal, JournalFull, Limits
from ml.serving.labels import read, take
from ml.serving.problems import Refused
from ml.serving.records import Labelled
from ml.serving.rows import Answers, Rows
from ml.spec import ModelSpec, parse_spec

SPEC = parse_spec("{name: loans, task: binary, target: repaid, features: {income: {type: numeric}}}")
PRICES = parse_spec("{name: prices, task: regression, features: {income: {type: numeric}}}")
NOW = datetime(2026, 1, 9, tzinfo=UTC).timestamp()


def parsed(body: Any, spec: ModelSpec = SPEC, *, most_rows: int = 10) -> Any:
    return read(body if isinstance(body, bytes) else orjson.dumps(body), spec, NOW, most_rows=most_rows)


@pytest.mark.parametrize(
    "body",
    [
        {"rows": [{"prediction_id": "p1", "label": 1}]},
        [{"prediction_id": "p1", "label": 1}],
        {"prediction_id": "p1", "repaid": 1},
    ],
)
def test_three_ways_to_send_labels(body: Any) -> None:
    assert parsed(body) == (["p1"], [1], [None], 0)


def test_times_are_utc_and_rows_without_a_label_are_counted() -> None:
    rows = [
        {"prediction_id": 7, "label": "yes", "label_timestamp": "2026-01-02T03:00:00+02:00"},
        {"prediction_id": "p2", "label": None},
        {"prediction_id": "p3", "label": True, "label_timestamp": "2026-01-02"},
    ]
    assert parsed({"rows": rows}) == (
        ["7", "p3"],
        ["yes", True],
        ["2026-01-02T01:00:00+00:00", "2026-01-02T00:00:00+00:00"],
        1,
    )


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "not valid JSON"),
        ({"rows": "p1"}, 400, "Labels are sent as"),
        ([], 400, "no rows"),
        ([{"prediction_id": str(k), "label": 1} for k in range(11)], 413, "11 rows are more than 10"),
        (["p1"], 400, "Row 0: is no object"),
        ([{"label": 1}], 400, "Column 'prediction_id', row 0: is no id"),
        ([{"prediction_id": "p1"}], 400, "Column 'label', row 0: is missing"),
        ([{"prediction_id": "p" * 201, "label": 1}], 400, "is no id"),
        ([{"prediction_id": "p1", "label": [1]}], 400, "is no class"),
        ([{"prediction_id": "p1", "label": 1}, {"prediction_id": "p1", "label": {}}], 400, "row 1: is no class"),
        ([{"prediction_id": "p1", "label": 1, "label_timestamp": "soon"}], 400, "is not a time in ISO 8601"),
        ([{"prediction_id": "p1", "label": 1, "label_timestamp": 1700000000}], 400, "is not a time in ISO 8601"),
        ([{"prediction_id": "p1", "label": 1, "label_timestamp": "2026-01-10"}], 400, "lies in the future"),
    ],
)
def test_what_is_wrong_is_named(body: Any, status: int, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        parsed(body)
    assert refused.value.status == status


@pytest.mark.parametrize("label", ["1", True, "many"])
def test_a_label_of_a_regression_is_a_number(label: Any) -> None:
    assert parsed([{"prediction_id": "p", "label": 3}], PRICES) == (["p"], [3.0], [None], 0)
    with pytest.raises(Refused, match="is not a number"):
        parsed([{"prediction_id": "p", "label": label}], PRICES)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["rows", "prediction_id", "label", "label_timestamp", "repaid", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.one_of(VALUES.map(orjson.dumps), st.binary(max_size=40)), st.sampled_from([SPEC, PRICES]))
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_read_or_refused(body: bytes, spec: ModelSpec) -> None:
    try:
        ids, labels, times, _ = parsed(body, spec)
    except Refused:
        return
    if ids:
        frame = normalize(labels_frame([Labelled(spec.name, 0, ids, labels, times)]), spec, role="labels")
        assert frame["label"].notna().all()


def test_late_early_repeated_and_corrected_labels_reach_the_log(tmp_path: Path) -> None:
    journal, log = Journal(tmp_path / "journal"), PredictionLog(tmp_path / "log")
    drain = Drain(journal.root, log, {"loans": SPEC}.get)

    def label(later: float, *rows: dict[str, Any]) -> dict[str, int]:
        return take(orjson.dumps({"rows": rows}), SPEC, journal, NOW + later, most_rows=10)

    assert label(0, {"prediction_id": "p2", "label": 1}) == {"accepted": 1, "empty": 0}, "before its prediction"
    for name in ("p1", "p2", "p3"):
        journal.record("loans", "champion", "1", Rows({"income": [1.0]}, [name]), Answers([1], [0.5]), 0.001, NOW)
    drain.once()
    label(60, {"prediction_id": "p1", "label": 1})
    label(61, {"prediction_id": "p1", "label": 0}, {"prediction_id": "p1", "label": 0})
    label(62, {"prediction_id": "p3", "label": 0, "label_timestamp": "2026-01-03T00:00:00Z"})
    label(63, {"prediction_id": "p3", "label": 1, "label_timestamp": "2026-01-02T00:00:00Z"})
    label(64, {"prediction_id": "p2", "label": True})
    drain.once()
    frame = log.read(SPEC, None)
    assert frame["label"].tolist() == ["0", "1", "0"]
    assert drain.did.labels == 5, "what repeats a label in force is left out"
    before = log.read(SPEC, None, as_of=datetime.fromtimestamp(NOW + 60.5, UTC))
    assert before["label"].tolist() == ["1", "1", "0"]


def test_labels_are_never_dropped_for_want_of_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Limits(max_bytes=10, when_full="answer"))
    with pytest.raises(JournalFull, match="answers are refused until there is room"):
        take(b'[{"prediction_id": "p1", "label": 1}]', SPEC, journal, NOW, most_rows=10)
