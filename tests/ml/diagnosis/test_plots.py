"""A picture for each kind of evidence, its title the finding; nothing of it is left behind in the process."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.diagnosis import Diagnosis, diagnose
from ml.diagnosis.plots import save_plots
from ml.errors import InvalidInput
from ml.models import recipes
from tests.ml.diagnosis import help_desk
from tests.ml.diagnosis.loan_book import SPEC, START, champion, history, reference, rows, served

PNG = b"\x89PNG\r\n"


def fresh(n: int = 900) -> pd.DataFrame:
    return rows(n, 61).assign(timestamp=pd.date_range(START, periods=n, freq="10min"))


def ask(current: pd.DataFrame, **more: object) -> Diagnosis:
    spec = more.pop("spec", SPEC)
    return diagnose(spec, reference(), current, history=history(), **{"model": champion()} | more)


@pytest.fixture(scope="module")
def harmed() -> Diagnosis:
    """One branch turned round, so that a slice is harmed, and a column in another unit."""
    frame = fresh(1800)
    turned = (frame["branch"] == "south") & (frame.index >= 600)
    frame["label"] = np.where(turned, 1 - frame["label"], frame["label"])
    tree = SPEC.model_copy(update={"trainer": "xgboost"})
    model = recipes.fit(tree, rows(2000, 1)).with_version("1")
    current = served(frame.assign(batch=frame["batch"] + 30), model)
    return diagnose(tree, served(rows(1000, 2), model, START - pd.Timedelta(days=60)), current, model=model)


def shown(found: Diagnosis, kind: str) -> str:
    """Every text in the picture, which must be drawable."""
    figure = found.plot(kind)
    assert figure is not None
    assert figure._repr_png_().startswith(PNG)
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("loss", ["mean loss", "tolerated", "healthy rows", "since"]),
        ("drift", ["'batch' moved by", "healthy", "now"]),
        ("calibration", ["probability that was said", "share that happened"]),
        ("attribution", ["changed relation", "harder mix", "unseen inputs"]),
        ("slice", ["branch=south", "of the harm", "outside"]),
        ("trial", ["retrain (proposed)", "fall of the mean loss"]),
        ("metric", ["roc_auc"]),
    ],
)
def test_the_picture_says_what_was_found(harmed: Diagnosis, kind: str, said: list[str]):
    text = shown(harmed, kind)

    assert [word for word in said if word not in text] == []


def test_a_break_is_drawn_with_its_onset_and_its_values():
    frame = fresh()
    frame.loc[frame.index >= 300, "income"] /= 1000

    text = shown(ask(served(frame)), "quality")

    assert "multiply income by 1000" in text
    assert "since 03 Mar 02:00" in text or "since 2026-03-03" in text
    assert "income [EUR]" in text


def test_texts_and_times_are_drawn():
    frame = help_desk.rows(600, 3)
    broken = frame.assign(text=frame["text"].where(frame.index < 200, ""))
    found = diagnose(help_desk.SPEC, help_desk.reference(), help_desk.served(broken), model=help_desk.champion())

    assert "text [characters]" in shown(found, "quality")


def test_an_estimate_is_drawn_with_its_band():
    slow = SPEC.model_copy(update={"label_delay": timedelta(days=30)})

    text = shown(ask(served(fresh()).assign(label=None), spec=slow), "estimate")

    assert "900 rows without labels" in text
    assert "blind to a changed relation" in text


def test_every_picture_is_saved(harmed: Diagnosis, tmp_path: Path):
    written = save_plots(harmed, tmp_path / "plots")

    assert {path.stem for path in written} == set(harmed.plots()) >= {"loss", "drift", "trial", "slice", "attribution"}
    assert all(path.read_text(encoding="utf-8").startswith("<?xml") for path in written)


def test_what_was_not_found_has_no_picture():
    found = ask(served(fresh()))

    assert found.plot("quality") is None
    with pytest.raises(InvalidInput, match="no kind of evidence"):
        found.plot("pie")


def test_rows_without_times_are_drawn_by_number():
    frame = served(fresh()).drop(columns="timestamp")

    assert "rows in the order given" in shown(ask(frame), "loss")


def test_no_state_is_left_in_the_process(harmed: Diagnosis):
    harmed.plots()

    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert "pictures" not in harmed.to_json()
