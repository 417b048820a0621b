"""Every kind of bad input, for every task, through `watchkeeper diagnose` and through the monitors: one bad column
never spoils the run, and each is named with what could not be checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from agent.commands.diagnose import diagnose_files
from ml.data.bins import make_bins
from ml.data.profiles import profile_frame
from ml.data.tables import read_table
from ml.diagnosis import Diagnosis
from ml.errors import DataError
from ml.monitors.drift import drift
from ml.monitors.estimation import estimate
from ml.monitors.performance import performance
from ml.monitors.quality import quality
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec, load_spec

START = pd.Timestamp("2026-03-01", tz="UTC")
TASKS = ("binary", "multiclass", "regression")
FEATURES = {
    "size": "numeric", "age": "numeric", "kind": "categorical", "flag": "boolean", "note": "text", "since": "datetime"
}  # fmt: skip
REFERENCE, CURRENT = 400, 240


def document(task: str) -> dict[str, object]:
    trainer = "sklearn:linear_model.Ridge" if task == "regression" else "sklearn:linear_model.LogisticRegression"
    features = {name: {"type": kind} for name, kind in FEATURES.items()}
    return {"name": "anything", "task": task, "features": features, "trainer": trainer}


@cache
def table(task: str, n: int, seed: int, start: pd.Timestamp) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=n, freq="30min")
    size, age = rng.normal(10, 2, n), rng.gamma(3, 10, n)
    frame = pd.DataFrame(
        {
            "prediction_id": [f"{seed}-{i}" for i in range(n)],
            "timestamp": times,
            "size": size,
            "age": age,
            "kind": rng.choice(["a", "b", "c"], n),
            "flag": rng.random(n) < 0.4,
            "note": rng.choice(["pays late again", "pays in time", "asked for more time"], n),
            "since": times - pd.to_timedelta(rng.integers(1, 400, n), unit="h"),
        }
    )
    z = (size - 10) / 2 + (age - 30) / 20
    if task == "regression":
        return frame.assign(prediction=z * 3, score=np.nan, label=z * 3 + rng.normal(0, 1, n), model_version="1")
    p = 1 / (1 + np.exp(-z))
    label = (rng.random(n) < p).astype(int)
    if task == "binary":
        return frame.assign(prediction=(p > 0.5).astype(int), score=p, label=label, model_version="1")
    names = np.array(["low", "high", "huge"])
    guess, truth = (p > 0.5).astype(int) + (p > 0.85), label + (rng.random(n) < 0.2)
    return frame.assign(prediction=names[guess], score=np.maximum(p, 1 - p), label=names[truth], model_version="1")


@dataclass(frozen=True)
class Mess:
    """named: words of which one must stand in the answer. refused: the table is no input at all, said in a sentence."""

    change: Callable[[pd.DataFrame], pd.DataFrame]
    named: tuple[str, ...] = ()
    refused: str = ""


def half(column: pd.Series, value: object) -> pd.Series:
    return column.astype(object).where(np.arange(len(column)) % 2 == 0, value)


MESSES: dict[str, Mess] = {
    "empty": Mess(lambda f: f.iloc[:0], refused="there are no rows"),
    "one row": Mess(lambda f: f.iloc[:1], ("everything that compares rows",)),
    "all null": Mess(lambda f: f.assign(**dict.fromkeys(FEATURES, None)), ("size",)),
    "one column null": Mess(lambda f: f.assign(age=None), ("age",)),
    "constant": Mess(lambda f: f.assign(size=3.0), ("size",)),
    "constant text": Mess(lambda f: f.assign(note="")),
    "infinities": Mess(lambda f: f.assign(size=half(f["size"], np.inf)), ("size",)),
    "ten thousand categories": Mess(lambda f: f.assign(kind=[f"k{i}" for i in range(len(f))]), ("kind",)),
    "mixed types": Mess(lambda f: f.assign(size=half(f["size"], "broken")), ("size",)),
    "mixed times": Mess(lambda f: f.assign(since=half(f["since"].astype(str), 12345)), ("since",)),
    "labels of one class": Mess(lambda f: f.assign(label=f["label"].iloc[0])),
    "no labels": Mess(lambda f: f.assign(label=None), ("harmed", "labels")),
    "no label column": Mess(lambda f: f.drop(columns="label"), ("harmed", "labels")),
    "no predictions": Mess(lambda f: f.drop(columns=["prediction", "score"]), ("predictions of the current rows",)),
    "repeated ids": Mess(lambda f: f.assign(prediction_id="same"), ("prediction_id",)),
    "out of order": Mess(lambda f: f.sample(frac=1, random_state=0)),
    "in the future": Mess(lambda f: f.assign(timestamp=f["timestamp"] + pd.Timedelta(days=9000))),
    "zones mixed": Mess(
        lambda f: f.assign(timestamp=[
            t.tz_convert("Asia/Kolkata" if i % 2 else "America/Lima").isoformat() for i, t in enumerate(f["timestamp"])
        ])
    ),
    "a vanished feature": Mess(lambda f: f.drop(columns="size"), ("size",)),
    "absurd numbers": Mess(lambda f: f.assign(age=half(f["age"], 1e300)), ("age",)),
    "unreadable text": Mess(lambda f: f.assign(note=half(f["note"], "\ufffd\ufffd\U0001f600 \u202e")), ("note",)),
}  # fmt: skip
BAD_REFERENCES: dict[str, Mess] = {
    "no reference": Mess(lambda f: f.iloc[:0], refused="there are no rows"),
    "one row": Mess(lambda f: f.iloc[:1], ("everything that compares rows",)),
    "without labels": Mess(lambda f: f.assign(label=None), ("healthy", "labels")),
    "without a feature": Mess(lambda f: f.drop(columns="size"), ("size",)),
    "all null": Mess(lambda f: f.assign(**dict.fromkeys(FEATURES, None)), ("size", "surrogate")),
}


@pytest.fixture(scope="module", params=TASKS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, a reference and a current table of one task."""
    home = tmp_path_factory.mktemp(request.param)
    (home / "spec.yaml").write_text(yaml.safe_dump(document(request.param)), encoding="utf-8")
    table(request.param, REFERENCE, 1, START - pd.Timedelta(days=30)).to_csv(home / "reference.csv", index=False)
    table(request.param, CURRENT, 2, START).to_csv(home / "current.csv", index=False)
    return home


def task_of(folder: Path) -> str:
    return load_spec(folder / "spec.yaml").task.value


def said(found: Diagnosis) -> str:
    """What the answer says, which must be JSON, and change no model by what it cannot know."""
    text = json.dumps(found.to_json(), allow_nan=False)
    assert found.evidence
    assert not found.action.kind.changes_model
    return text


@pytest.mark.parametrize("name", MESSES)
def test_a_bad_table_is_diagnosed_and_named(folder: Path, tmp_path: Path, name: str):
    mess = MESSES[name]
    mess.change(table(task_of(folder), CURRENT, 2, START)).to_csv(tmp_path / "bad.csv", index=False)

    def diagnose() -> Diagnosis:
        return diagnose_files(folder / "spec.yaml", folder / "reference.csv", tmp_path / "bad.csv")

    if mess.refused:
        with pytest.raises(DataError, match=mess.refused):
            diagnose()
        return
    found = diagnose()
    assert any(word in said(found) for word in mess.named or (found.model,))
    if task_of(folder) == "binary":  # a picture takes a tenth of a second
        assert all(figure is None or figure._repr_png_() for figure in map(found.plot, ("quality", "drift", "loss")))


@pytest.mark.parametrize("name", BAD_REFERENCES)
def test_a_bad_reference_is_named(folder: Path, tmp_path: Path, name: str):
    mess = BAD_REFERENCES[name]
    healthy = table(task_of(folder), REFERENCE, 1, START - pd.Timedelta(days=30))
    mess.change(healthy).to_csv(tmp_path / "bad.csv", index=False)

    def diagnose() -> Diagnosis:
        return diagnose_files(folder / "spec.yaml", tmp_path / "bad.csv", folder / "current.csv")

    if mess.refused:
        with pytest.raises(DataError, match=mess.refused):
            diagnose()
        return
    assert any(word in said(diagnose()) for word in mess.named)


def measured(spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame) -> list[Measurement]:
    """Every monitor on one window."""
    first = current["timestamp"].min().to_pydatetime()
    window = Window(first, current["timestamp"].max().to_pydatetime() + timedelta(seconds=1))
    bins = make_bins(spec, reference)
    before, now = profile_frame(reference, bins), profile_frame(current, bins)
    return [
        *quality(spec, before, now, window=window),
        *drift(spec, before, now, window=window),
        *performance(spec, current, window=window, reference=reference, as_of=window.end),
        *estimate(spec, reference, current, window=window),
    ]


@pytest.mark.parametrize("name", [name for name, mess in MESSES.items() if not mess.refused])
def test_every_monitor_answers_and_the_good_columns_are_measured(folder: Path, tmp_path: Path, name: str):
    spec = load_spec(folder / "spec.yaml")
    mess = MESSES[name]
    mess.change(table(spec.task.value, CURRENT, 2, START)).to_csv(tmp_path / "bad.csv", index=False)

    found = measured(
        spec, read_table(folder / "reference.csv", spec, role="reference"),
        read_table(tmp_path / "bad.csv", spec, role="current"),
    )  # fmt: skip

    assert {m.family for m in found} == {"quality", "drift", "performance", "estimation"}
    assert all(m.detail for m in found if m.status is Status.NO_DATA)
    bad = set(mess.named) & set(FEATURES)
    if len(bad) == 1 and name not in ("one row", "all null"):
        assert any(m.feature in bad and m.status is not Status.OK for m in found)
        good = {m.feature for m in found if m.monitor == "drift.psi" and m.status is not Status.NO_DATA}
        assert good >= set(FEATURES) - bad


@pytest.mark.timeout(300)  # a busy machine takes its time over a thousand columns
def test_a_thousand_columns_are_diagnosed(tmp_path: Path):
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(1000)]
    spec = {**document("binary"), "features": {name: {"type": "numeric"} for name in names}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")

    def rows(n: int, start: pd.Timestamp) -> pd.DataFrame:
        frame = pd.DataFrame(rng.normal(size=(n, 1000)).round(3), columns=names)
        p = 1 / (1 + np.exp(-frame["x0"]))
        extra = {"label": (rng.random(n) < p).astype(int), "prediction": (p > 0.5).astype(int), "score": p}
        return frame.assign(timestamp=pd.date_range(start, periods=n, freq="h"), **extra)

    rows(200, START).to_parquet(tmp_path / "reference.parquet")
    current = rows(120, START + pd.Timedelta(days=20))
    current.assign(x5=current["x5"] * 1000, x7=None).to_parquet(tmp_path / "current.parquet")

    found = diagnose_files(tmp_path / "spec.yaml", tmp_path / "reference.parquet", tmp_path / "current.parquet")

    text = json.dumps(found.to_json(), allow_nan=False)
    assert "'x7' is missing" in text
    assert "multiply x5" in text or "divide x5" in text
