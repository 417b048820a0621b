"""The fast encoder makes the same bits as the encoder that the models were fitted with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import DataError
from ml.metrics import as_class
from ml.models.encoding import RowEncoder
from ml.models.recipes import FittedModel, fit
from ml.serving.engines.encode import Encoder, class_text
from ml.serving.engines.plan import Plan, take_apart
from ml.serving.engines.probes import hostile_rows, real_rows
from ml.spec import ModelSpec
from tests.ml.serving.engines.conftest import KINDS, mixed_spec


def fitted(spec: ModelSpec, frame: pd.DataFrame) -> tuple[FittedModel, RowEncoder, Encoder]:
    model = fit(spec, frame.assign(label=frame["binary"]))
    plan, _ = take_apart(spec.name, model)
    return model, model.pipeline.steps[0][1], Encoder(Plan.from_json(plan.to_json()))


@pytest.fixture(scope="module", params=["xgboost", "sklearn:LogisticRegression"])
def encoders(request: pytest.FixtureRequest, mixed_rows: pd.DataFrame) -> tuple[RowEncoder, Encoder]:
    """Without filling (trees), and with filling and scaling."""
    _, slow, fast = fitted(mixed_spec(trainer=request.param), mixed_rows)
    return slow, fast


def same(slow: RowEncoder, fast: Encoder, columns: dict[str, list[Any]]) -> None:
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    for name, kind in KINDS.items():
        if kind == "numeric" and all(isinstance(value, float) for value in columns[name]):
            frame[name] = frame[name].astype(np.float64)
    want = slow.transform(frame)
    got = fast.matrix(columns, n)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    one = {name: values[-1:] for name, values in columns.items()}
    np.testing.assert_array_equal(fast.matrix(one, 1), want[-1:])


def test_real_and_hostile_rows_encode_to_the_same_bits(
    encoders: tuple[RowEncoder, Encoder], mixed_rows: pd.DataFrame
) -> None:
    real = real_rows(KINDS, mixed_rows)
    rows = [*real, *hostile_rows(KINDS, real, {"amount": [99.5, 101.25]})]
    same(*encoders, {name: [row[name] for row in rows] for name in KINDS})


cells = {
    "numeric": st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.booleans(), st.none()),
    "categorical": st.one_of(st.sampled_from(["basic", "plus", "max"]), st.text(max_size=8), st.none()),
    "boolean": st.sampled_from([True, False, None]),
    "datetime": st.one_of(
        st.none(),
        st.datetimes(pd.Timestamp("1750-01-01"), pd.Timestamp("2190-01-01")).map(lambda t: t.isoformat() + "Z"),
        st.dates(pd.Timestamp("1750-01-01").date(), pd.Timestamp("2190-01-01").date()).map(str),
    ),
    "text": st.one_of(
        st.text(max_size=20), st.sampled_from(["late late payment", "LATE help good", "asked"]), st.none()
    ),
}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.fixed_dictionaries({name: cells[kind] for name, kind in KINDS.items()}), min_size=1, max_size=4)
)
def test_any_checked_rows_encode_to_the_same_bits(
    encoders: tuple[RowEncoder, Encoder], rows: list[dict[str, Any]]
) -> None:
    same(*encoders, {name: [row[name] for row in rows] for name in KINDS})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("amount", ["1.5", " 2 ", "x", "", "1e400", 3.0]),
        ("joined", ["2200-01-01T00:00:00+14:00", "1800-05-05T05:05", "2020-01-01", None, "2020-01-01 00:00:00.5-0300"]),
        ("joined", ["2026-11-21 06:50", "20261121", "2026-11-21T06:50:00.123456789+02:00", "never", "2026-02-30"]),
        ("member", ["yes", "NO", 1, 0.0, "maybe", "t"]),
        ("plan", [1, 1.0, True, "1.0", 2.5, "basic"]),
    ],
)
def test_what_a_checked_request_does_not_hold_is_still_read_alike(
    encoders: tuple[RowEncoder, Encoder], mixed_rows: pd.DataFrame, name: str, values: list[Any]
) -> None:
    base = real_rows(KINDS, mixed_rows)[: len(values)]
    columns = {feature: [row[feature] for row in base] for feature in KINDS}
    same(*encoders, columns | {name: values})


# NumPy's own texts drop a NUL at their end.
names = st.text(st.characters(exclude_characters="\x00"), max_size=6)


@given(st.one_of(names, st.floats(allow_nan=False), st.integers(), st.booleans()))
def test_class_names_are_those_of_the_metrics(value: Any) -> None:
    assert class_text(value) == as_class(pd.Series([value], dtype=object))[0]


def test_a_column_that_is_missing_is_named(encoders: tuple[RowEncoder, Encoder]) -> None:
    with pytest.raises(DataError, match="'amount'"):
        encoders[1].matrix({"age": [1.0]}, 1)


def test_numbers_beyond_32_bits_are_refused_where_the_model_is_not_ours() -> None:
    plan = Plan("m", "1", "regression", take_numbers("a", "b"), clip=False)
    assert math.isnan(Encoder(plan).matrix({"a": [1.0], "b": [float("inf")]}, 1)[0, 1])
    with pytest.raises(DataError, match="'b' of row 1"):
        Encoder(plan).matrix({"a": [1.0, 2.0], "b": [0.0, 1e300]}, 2)


def test_a_feature_that_the_model_cannot_do_without_is_named() -> None:
    plan = Plan("m", "7", "regression", take_numbers("a", "b"), clip=False, required=("b",))
    Encoder(plan).matrix({"a": [float("nan")], "b": [1.0]}, 1)
    with pytest.raises(DataError, match=r"'b' of row 0 is missing and version 7"):
        Encoder(plan).matrix({"a": [1.0], "b": [float("nan")]}, 1)


def take_numbers(*names: str) -> tuple[Any, ...]:
    from ml.serving.engines.plan import Step

    return tuple(Step(name, "numeric") for name in names)
