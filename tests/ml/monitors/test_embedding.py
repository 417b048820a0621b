"""The drift of texts in the space of somebody's embedding model."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from ml.errors import InvalidInput, SpecError
from ml.monitors.embedding import TextCloud, cloud, clouds, compare, embedding_drift, load_embedding
from ml.monitors.look import Baseline, whole_look
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec, parse_spec

DAY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1))
FRUIT, TOOLS = ["apple", "pear", "plum", "fig", "cherry"], ["hammer", "saw", "file", "drill", "wrench"]


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """Each word has a direction: what an embedding model does, without one."""
    return np.array([sum(direction(word) for word in text.split()) for text in texts])


@cache
def direction(word: str) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=64)


def half_as_many(texts: Sequence[str]) -> np.ndarray:
    return np.zeros((len(texts) // 2, 3))


def spec(function: str = "bag_of_words") -> ModelSpec:
    address = f"{__name__}:{function}"
    return parse_spec(
        f"name: t\ntask: binary\nfeatures:\n  note: {{type: text, embedding: '{address}'}}\n  more: {{type: text}}\n"
    )


def notes(n: int, seed: int, tools: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(TOOLS if rng.random() < tools else FRUIT, 4)) for _ in range(n)]
    return pd.DataFrame({"note": texts, "more": "same"})


def measured(model: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame) -> Measurement:
    (found,) = embedding_drift(model, clouds(model, reference), clouds(model, current), window=DAY)
    return found


def test_other_meanings_of_the_same_length_are_seen():
    found = measured(spec(), notes(500, 1), notes(300, 2, tools=0.8))

    assert (found.monitor, found.feature, found.status, found.n) == ("drift.embedding", "note", Status.BREACH, 300)


def test_one_test_in_twenty_is_wrong_and_no_more():
    p_values = [
        compare(cloud(notes(200, 2 * k)["note"], bag_of_words), cloud(notes(100, 2 * k + 1)["note"], bag_of_words))[1]
        for k in range(30)
    ]

    assert np.mean(np.array(p_values) < 0.05) < 0.17


def test_windows_add_up():
    texts = notes(300, 3)["note"]
    whole = cloud(texts, bag_of_words)
    parts = cloud(texts[:120], bag_of_words) + TextCloud.from_dict(cloud(texts[120:], bag_of_words).to_dict())

    assert parts.n == whole.n == 300
    np.testing.assert_allclose(parts.total, whole.total)
    np.testing.assert_allclose(parts.scatter, whole.scatter, atol=1e-8)


def test_models_of_another_width_do_not_add():
    with pytest.raises(InvalidInput, match="different embedding models"):
        TextCloud(1, np.zeros(2), np.zeros((2, 2))) + TextCloud(1, np.zeros(3), np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("function", "reference", "current", "why"),
    [
        ("bag_of_words", notes(500, 1), notes(10, 2), "50 of each are needed"),
        ("bag_of_words", notes(500, 1), notes(100, 2).assign(note=None), "50 of each are needed"),
        ("bag_of_words", notes(500, 1), notes(100, 2).drop(columns="note"), "50 of each are needed"),
        ("half_as_many", notes(500, 1), notes(100, 2), "one finite vector a text"),
        ("missing", notes(500, 1), notes(100, 2), "cannot be loaded"),
    ],
)
def test_what_cannot_be_embedded_is_said(function: str, reference: pd.DataFrame, current: pd.DataFrame, why: str):
    found = measured(spec(function), reference, current)

    assert found.status is Status.NO_DATA
    assert why in found.detail


def test_only_texts_have_an_embedding():
    with pytest.raises(SpecError, match="type text"):
        parse_spec("name: t\ntask: binary\nfeatures:\n  x: {type: numeric, embedding: 'a.b:c'}\n")
    with pytest.raises(SpecError, match=r"package\.module:function"):
        parse_spec("name: t\ntask: binary\nfeatures:\n  x: {type: text, embedding: 'a.b'}\n")
    with pytest.raises(SpecError, match="not a function"):
        load_embedding(f"{__name__}:FRUIT")


def test_a_look_measures_it():
    def logged(frame: pd.DataFrame) -> pd.DataFrame:
        times = pd.date_range(DAY.start, periods=len(frame), freq="min").as_unit("us")
        never = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]")
        empty = {"label": None, "label_timestamp": never, "model_version": "1"}
        return frame.assign(timestamp=times, prediction="0", score=0.5, **empty)

    baseline = Baseline(spec(), logged(notes(400, 1)))
    seen = whole_look(baseline, logged(notes(300, 2, tools=0.8)), recent=DAY, mature=DAY, at=DAY.end)

    (found,) = (m for m in seen.measurements if m.monitor == "drift.embedding")
    assert (found.feature, found.status) == ("note", Status.BREACH)
