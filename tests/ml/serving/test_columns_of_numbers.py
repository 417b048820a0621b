"""A whole column of numbers is read as each of its values alone, however fast."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.serving import cells

pieces = st.sampled_from(
    ["1", "-", ".", "e5", "+", "3.5", "", "1e999", "E-3", "0x1", "1_0", " 2", "nan", ",", "\u0663"]
)
texts = st.lists(pieces, max_size=4).map("".join)
numbers = st.one_of(st.floats(), st.integers(-(10**400), 10**400), st.none(), st.booleans())


def read(values: list[Any]) -> list[float] | None:
    try:
        return list(cells.read_numbers(values))
    except cells.WrongCell:
        return None


@given(st.one_of(st.lists(texts), st.lists(numbers), st.lists(st.floats()), st.lists(st.one_of(texts, numbers))))
def test_a_column_is_read_as_its_values_are(values: list[Any]) -> None:
    want: list[float] | None
    try:
        want = [cells.number(value) for value in values]
    except cells.WrongCell:
        want = None
    got = read(values)
    assert (got is None) == (want is None)
    assert want is None or all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(want, got or (), strict=True)
    )


@pytest.mark.parametrize("values", [["1.5", "-2e3", "7"], [1.5, -2000.0, 7.0]])
def test_the_usual_columns_are_packed(values: list[Any]) -> None:
    packed: Any = cells.read_numbers(values)
    assert packed.typecode == "d"
    assert packed.tolist() == [1.5, -2000.0, 7.0]
