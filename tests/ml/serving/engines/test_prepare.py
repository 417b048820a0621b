"""Every kind of model answers as itself, by the fastest engine that does; a wrong engine is caught."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError
from ml.models.recipes import FittedModel, fit, recalibrate
from ml.models.storage import adopt
from ml.serving import engines
from ml.serving.engines import convert
from ml.serving.engines.gate import judge, native_answers
from ml.serving.engines.prepare import MANIFEST, Prepared, open_prepared, prepare
from ml.serving.engines.probes import Row, as_rows, made_up_rows, real_rows
from ml.serving.rows import Answers, Engine, Rows
from ml.spec import ModelSpec
from tests.ml.serving.engines.conftest import KINDS, mixed_spec, number_spec

LABELS = {"binary": "binary", "multiclass": "many", "regression": "number"}


class Ticking:
    """A clock by which every engine is as fast as any other: what is chosen does not depend on the machine."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def trained(spec: ModelSpec, frame: pd.DataFrame) -> FittedModel:
    return fit(spec, frame.assign(label=frame[LABELS[spec.task]])).with_version("3")


def kinds_of(spec: ModelSpec) -> dict[str, str]:
    return {name: str(feature.type) for name, feature in spec.features.items()}


def prepared(spec: ModelSpec, model: FittedModel, folder: Path, frame: pd.DataFrame | None) -> tuple[Prepared, Engine]:
    prepare(spec.name, model, kinds_of(spec), folder, reference=frame, clock=Ticking())
    found, engine = open_prepared(folder)
    assert engine is not None, found
    return found, engine


def assert_same(model: FittedModel, engine: Engine, kinds: dict[str, str], frame: pd.DataFrame) -> None:
    rows = as_rows(real_rows(kinds, frame))
    want = model.predict(rows.frame())
    got = engine.answer(rows)
    if model.task == "regression":
        np.testing.assert_allclose(got.predictions, want["prediction"], rtol=1e-5)
        assert set(got.scores) == {None}
    else:
        assert got.predictions == want["prediction"].tolist()
        np.testing.assert_allclose(np.array(got.scores, float), want["score"], atol=1e-6)


@pytest.mark.parametrize("task", LABELS)
def test_xgboost_on_every_type_of_feature_is_answered_by_onnx(
    task: str, mixed_rows: pd.DataFrame, tmp_path: Path
) -> None:
    spec = mixed_spec(task, n_estimators=30)
    model = trained(spec, mixed_rows)
    found, engine = prepared(spec, model, tmp_path, mixed_rows)
    assert (engine.kind, engine.version, engine.model) == ("onnx", "3", "churn")
    assert found.notes == ()
    assert [check.kind for check in found.checks if check.passed] == ["xgboost", "onnx"]
    assert_same(model, engine, KINDS, mixed_rows)


@pytest.mark.parametrize(
    ("task", "trainer"),
    [
        ("binary", "sklearn:LogisticRegression"),
        ("multiclass", "sklearn:RandomForestClassifier"),
        ("regression", "sklearn:Ridge"),
        ("binary", "sklearn:HistGradientBoostingClassifier"),
    ],
)
def test_scikit_learn_models_answer_as_themselves(
    task: str, trainer: str, mixed_rows: pd.DataFrame, tmp_path: Path
) -> None:
    spec = mixed_spec(task, trainer)
    model = trained(spec, mixed_rows)
    engine = engines.load(model, spec, mixed_rows, directory=tmp_path)
    assert engine.kind in ("onnx", "native")
    assert_same(model, engine, KINDS, mixed_rows)


def test_a_recalibrated_model_answers_with_its_new_probabilities(mixed_rows: pd.DataFrame, tmp_path: Path) -> None:
    spec = mixed_spec(n_estimators=20)
    frame = mixed_rows.assign(label=mixed_rows["binary"])
    model = recalibrate(spec, trained(spec, mixed_rows), frame)
    found, engine = prepared(spec, model, tmp_path, frame)
    assert found.kind == "onnx"
    assert_same(model, engine, KINDS, frame)


def test_a_model_that_stops_early_uses_the_trees_that_it_uses_itself(number_rows: pd.DataFrame, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    x, y = number_rows[[f"x{j}" for j in range(6)]], number_rows["binary"]
    estimator = XGBClassifier(n_estimators=200, early_stopping_rounds=3, learning_rate=0.5)
    estimator.fit(x[:300], y[:300], eval_set=[(x[300:], y[300:])], verbose=False)
    assert estimator.best_iteration < 30
    spec = number_spec()
    model = adopt(spec, estimator, version="9")
    found, engine = prepared(spec, model, tmp_path, number_rows)
    assert "xgboost" in [check.kind for check in found.checks if check.passed]
    assert_same(model, engine, kinds_of(spec), number_rows)


def test_a_model_of_others_with_its_own_number_for_missing(number_rows: pd.DataFrame, tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    x = number_rows[[f"x{j}" for j in range(6)]].fillna(-999.0)
    estimator = XGBRegressor(n_estimators=20, missing=-999.0).fit(x, number_rows["number"])
    spec = number_spec("regression")
    model = adopt(spec, estimator, version="9")
    engine = engines.load(model, spec, x, directory=tmp_path)
    found, _ = open_prepared(tmp_path)
    assert "NaN" in next(check.why for check in found.checks if check.kind == "onnx")
    assert found.notes
    assert "-999" in found.notes[0]
    assert_same(model, engine, kinds_of(spec), x)


def test_a_model_that_cannot_read_missing_values_refuses_them_in_the_fast_engine_too(
    number_rows: pd.DataFrame, tmp_path: Path
) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    x = number_rows[[f"x{j}" for j in range(6)]].fillna(0.0)
    spec = number_spec()
    model = adopt(spec, GradientBoostingClassifier(n_estimators=10).fit(x, number_rows["binary"]), version="2")
    found, engine = prepared(spec, model, tmp_path, x)
    assert found.kind == "onnx"
    row = {name: [1.0] for name in x}
    assert engine.answer(Rows(row, ["a"])).predictions == model.predict(pd.DataFrame(row))["prediction"].tolist()
    with pytest.raises(DataError, match="'x3' of row 0 is missing"):
        engine.answer(Rows(row | {"x3": [float("nan")]}, ["a"]))


def test_without_reference_rows_probes_are_made_up_and_it_is_said(number_rows: pd.DataFrame, tmp_path: Path) -> None:
    spec = number_spec()
    model = trained(spec, number_rows)
    found, engine = prepared(spec, model, tmp_path, None)
    assert engine.kind == "onnx"
    assert "no reference rows" in found.notes[0]
    assert_same(model, engine, kinds_of(spec), number_rows)


def test_what_cannot_be_taken_apart_answers_natively_and_says_why(number_rows: pd.DataFrame, tmp_path: Path) -> None:
    from sklearn.svm import LinearSVC

    x = number_rows[[f"x{j}" for j in range(6)]].fillna(0.0)
    spec = number_spec()
    model = adopt(spec, LinearSVC().fit(x, number_rows["binary"]), version="2")
    engine = engines.load(model, spec, x, directory=tmp_path)
    assert engine.kind == "native"
    assert "no probabilities" in open_prepared(tmp_path)[0].notes[0]
    got = engine.answer(as_rows(real_rows(kinds_of(spec), x)))
    assert got.predictions == model.predict(x)["prediction"].tolist()
    assert set(got.scores) == {None}


class Skewed:
    """An engine that is right but for one kind of row, as a faulty conversion is."""

    model, version, kind, nbytes = "numbers", "3", "faulty", 0

    def __init__(self, inner: Engine, wrong: Any) -> None:
        self.inner, self.wrong = inner, wrong

    def answer(self, rows: Rows) -> Answers:
        found = self.inner.answer(rows)
        hit = [any(self.wrong(values[j]) for values in rows.columns.values()) for j in range(len(rows))]
        return Answers(
            found.predictions, [s + 0.001 if h and s is not None else s for h, s in zip(hit, found.scores, strict=True)]
        )


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("missing values go the other way", lambda value: value != value),
        ("large numbers", lambda value: abs(value) > 3e38),
        ("denormal numbers", lambda value: 0 < abs(value) < 1e-38),
    ],
)
def test_the_gate_finds_faults_of_rare_rows(fault: str, wrong: Any, number_rows: pd.DataFrame, tmp_path: Path) -> None:
    from ml.serving.engines.probes import hostile_rows

    spec = number_spec()
    model = trained(spec, number_rows)
    _, engine = prepared(spec, model, tmp_path, number_rows)
    real = real_rows(kinds_of(spec), number_rows.dropna())
    rows = [*real, *hostile_rows(kinds_of(spec), real, {})]
    expected = native_answers(model, rows)
    assert judge(engine, rows, expected).passed
    verdict = judge(Skewed(engine, wrong), rows, expected)
    assert not verdict.passed
    assert verdict.largest == pytest.approx(0.001)
    assert "the model said" in verdict.why


def test_a_conversion_that_moves_a_threshold_by_a_hair_does_not_pass(
    number_rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic fault of XGBoost's conversion: `<` taken for `<=`, which only rows on a split show."""
    right = convert.write_onnx

    def wrong(estimator: Any, width: int, path: Path) -> None:
        import onnx

        right(estimator, width, path)
        graph = onnx.load(str(path))
        for node in graph.graph.node:
            for attribute in node.attribute:
                if attribute.name == "nodes_modes":
                    attribute.strings[:] = [
                        b"BRANCH_LEQ" if mode == b"BRANCH_LT" else mode for mode in attribute.strings
                    ]
        onnx.save(graph, str(path))

    monkeypatch.setattr(convert, "write_onnx", wrong)
    spec = number_spec()
    model = trained(spec, number_rows)
    found, engine = prepared(spec, model, tmp_path, number_rows)
    assert engine.kind == "xgboost"
    assert "on probe" in found.notes[0]
    assert_same(model, engine, kinds_of(spec), number_rows)


def test_eight_bits_are_tried_where_there_are_matrices_and_kept_only_if_nothing_changes(
    number_rows: pd.DataFrame, tmp_path: Path
) -> None:
    x = number_rows.fillna(0.0).assign(label=number_rows["binary"])
    spec = ModelSpec.model_validate(
        number_spec().model_dump()
        | {"trainer": "sklearn:MLPClassifier", "training": {"parameters": {"hidden_layer_sizes": [16], "max_iter": 50}}}
    )
    model = fit(spec, x)
    found, engine = prepared(spec, model, tmp_path, x)
    check = next(check for check in found.checks if check.kind == "onnx-int8")
    assert engine.kind == "onnx"
    assert not check.passed
    assert check.why.startswith("on probe")


def test_many_threads_ask_one_engine_at_once_and_each_gets_its_own_answer(
    number_rows: pd.DataFrame, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    spec = number_spec()
    model = trained(spec, number_rows)
    real = real_rows(kinds_of(spec), number_rows)
    expected = [score for _, score in native_answers(model, real)]
    for prefer in ("onnx", "xgboost"):
        prepare(spec.name, model, kinds_of(spec), tmp_path / prefer, reference=number_rows, prefer=(prefer,))
        _, engine = open_prepared(tmp_path / prefer)
        assert engine is not None
        assert engine.kind == prefer

        def work(seed: int, engine: Engine = engine) -> float:
            places = np.random.default_rng(seed).integers(0, len(real), 150).tolist()
            alone = [engine.answer(as_rows([real[place]])).scores[0] for place in places]
            batch = engine.answer(as_rows([real[place] for place in places])).scores
            want = np.array([expected[place] for place in places])
            return float(max(np.abs(np.array(alone) - want).max(), np.abs(np.array(batch) - want).max()))

        with ThreadPoolExecutor(4) as threads:
            assert max(threads.map(work, range(8))) < 1e-6


def test_a_folder_without_a_readable_manifest_is_refused(number_rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prepare it again"):
        open_prepared(tmp_path)
    spec = number_spec()
    prepare(spec.name, trained(spec, number_rows), kinds_of(spec), tmp_path, reference=number_rows)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_prepared(tmp_path)
    (tmp_path / MANIFEST).write_text('{"format": 999}')
    with pytest.raises(DataError, match="another release"):
        open_prepared(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x07"])
def test_broken_model_files_are_refused_in_a_sentence(
    content: bytes, number_rows: pd.DataFrame, tmp_path: Path
) -> None:
    spec = number_spec()
    prepare(spec.name, trained(spec, number_rows), kinds_of(spec), tmp_path, reference=number_rows)
    for file in ("model.onnx", "model.ubj"):
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError):
        open_prepared(tmp_path)


def test_made_up_rows_hold_every_kind_and_gaps() -> None:
    rows: Sequence[Row] = made_up_rows(KINDS)
    assert any(row["amount"] != row["amount"] for row in rows)
    assert {True, False, None} <= {row["member"] for row in rows}
