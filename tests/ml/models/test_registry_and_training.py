from __future__ import annotations

import json
import socket
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import Conflict, DataError, InvalidInput, NotFound, SpecError, Unavailable
from ml.models import candidate, storage, tracking, training
from ml.models.deployment import promote, rollback
from ml.models.recipes import fit
from ml.models.registry import Registry, load_directory
from ml.models.training import register_external, train

FIXED: dict[str, Any] = {"data_version": "7", "code_version": "abc"}


@pytest.fixture
def own_trainers(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("own_trainers", None)


def test_a_trained_version_says_what_it_was_made_from_and_answers_the_same(registry, make_spec, make_rows):
    spec, rows = make_spec(name="made"), make_rows()
    made = train(spec, rows, registry=registry, run_tag="p1", parent_version="4", **FIXED)
    info = registry.version("made", made.version)
    assert (info.data_version, info.code_version, info.parent_version, info.run_tag) == ("7", "abc", "4", "p1")
    assert info.params["rows"] == "450"
    assert made.holdout is not None
    assert made.holdout.start == rows["timestamp"].iloc[450]
    assert made.intervals["roc_auc"].low < made.metrics["roc_auc"] < made.intervals["roc_auc"].high
    loaded = registry.load("made", made.version, spec)
    assert loaded.version == made.version
    early, _ = candidate.split(spec, rows)
    pd.testing.assert_frame_equal(loaded.predict(rows), fit(spec, early).predict(rows))


@pytest.mark.parametrize(
    ("task", "trainer"),
    [
        ("multiclass", "xgboost"),
        ("regression", "xgboost"),
        ("regression", "sklearn:HistGradientBoostingRegressor"),
        ("binary", "sklearn:HistGradientBoostingClassifier"),
        ("binary", "sklearn:GradientBoostingClassifier"),
        ("multiclass", "sklearn:RandomForestClassifier"),
        ("binary", "sklearn:KNeighborsClassifier"),
        ("binary", "sklearn:SVC"),
        ("binary", "sklearn:MLPClassifier"),
        ("binary", "sklearn:GaussianNB"),
        ("regression", "sklearn:ElasticNet"),
    ],
)
def test_every_kind_of_model_is_stored_and_read_without_pickle(task, trainer, make_spec, make_rows, tmp_path):
    spec, rows = make_spec(task, f"trainer: {trainer}"), make_rows(200, task=task)
    model = fit(spec, rows)
    storage.save(spec, model, tmp_path / "model", rows)
    assert not list((tmp_path / "model").glob("*.pkl"))
    pd.testing.assert_frame_equal(load_directory(tmp_path / "model", spec).predict(rows), model.predict(rows))


def test_training_twice_under_one_tag_makes_one_version(registry, make_spec, make_rows):
    spec = make_spec(name="once")
    first = train(spec, make_rows(), registry=registry, run_tag="p1", **FIXED)
    again = train(spec, make_rows(seed=5), registry=registry, run_tag="p1", **FIXED)
    other = train(spec, make_rows(), registry=registry, run_tag="p2", **FIXED)
    assert (first.created, again.created) == (True, False)
    assert (again.version, again.metrics, again.holdout) == (first.version, first.metrics, first.holdout)
    assert [info.version for info in registry.versions("once")] == [other.version, first.version]


@pytest.mark.parametrize("killed_at", ["_register", "_log_numbers"])
def test_a_training_that_was_killed_is_carried_on_to_one_version(
    killed_at, registry, make_spec, make_rows, monkeypatch
):
    spec = make_spec(name=f"killed-{killed_at.strip('_').replace('_', '-')}")

    def kill(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            train(spec, make_rows(), registry=registry, run_tag="p1", **FIXED)
    assert registry.versions(spec.name) == []
    resumed = train(spec, make_rows(), registry=registry, run_tag="p1", **FIXED)
    assert [info.version for info in registry.versions(spec.name)] == [resumed.version]
    assert registry.load(spec.name, resumed.version, spec).predict(make_rows()).shape == (600, 2)
    assert resumed.metrics["roc_auc"] > 0.8


def test_the_reference_is_the_held_out_rows_as_they_were_answered(registry, make_spec, make_rows):
    spec, rows = make_spec(name="held"), make_rows()
    made = train(spec, rows, registry=registry, run_tag="p1", **FIXED)
    reference = registry.reference("held", made.version)
    assert reference is not None
    assert len(reference) == 150
    assert {"label", "prediction", "score", "timestamp", *spec.features} <= set(reference.columns)
    assert set(reference["model_version"]) == {made.version}
    answer = registry.load("held", made.version, spec).predict(rows.iloc[450:])
    np.testing.assert_allclose(reference["score"], answer["score"], atol=1e-6)


def test_columns_of_mixed_types_do_not_keep_a_reference_from_being_stored(registry, make_spec, make_rows):
    rows = make_rows()
    rows["plan"] = [1 if i % 7 == 0 else plan for i, plan in enumerate(rows["plan"])]
    made = train(make_spec(name="mixed"), rows, registry=registry, run_tag="p1", **FIXED)
    reference = registry.reference("mixed", made.version)
    assert reference is not None
    assert "1" in set(reference["plan"])


def test_a_model_from_elsewhere_becomes_a_version(registry, make_spec, make_rows, own_trainers):
    spec = make_spec("binary", "trainer: own_trainers:own_class", name="brought")
    model = fit(spec, make_rows())
    bare = register_external(spec, model, registry=registry, run_tag="mine")
    measured = register_external(spec, model, registry=registry, run_tag="mine, measured", reference=make_rows(seed=1))
    assert registry.reference("brought", bare.version) is None
    assert (bare.metrics, bare.holdout) == ({}, None)
    assert measured.metrics["roc_auc"] > 0.6
    loaded = registry.load("brought", measured.version, spec)
    pd.testing.assert_frame_equal(loaded.predict(make_rows()), model.predict(make_rows()))


def test_a_model_that_needs_pickle_is_refused_before_anything_is_logged(registry, make_spec, make_rows, own_trainers):
    spec = make_spec("binary", "trainer: own_trainers:with_a_closure", name="closure")
    with pytest.raises(SpecError, match="cannot be stored without pickle"):
        train(spec, make_rows(), registry=registry, run_tag="p1", **FIXED)
    assert registry.versions("closure") == []
    assert registry.runs("closure") == []


def test_too_few_labels_and_one_single_time_are_refused(registry, make_spec, make_rows):
    spec = make_spec(name="few")
    with pytest.raises(DataError, match=r"100 rows have a label and training\.min_labels is 300"):
        train(spec, make_rows(100), registry=registry, run_tag="p1", **FIXED)
    with pytest.raises(DataError, match="one single time"):
        train(spec, make_rows().assign(timestamp=pd.Timestamp(0, tz="UTC")), registry=registry, run_tag="p1", **FIXED)


def test_promotion_checks_the_expected_champion_and_is_idempotent(registry, make_spec, make_rows):
    spec = make_spec(name="ships")
    for tag in ("a", "b"):
        train(spec, make_rows(), registry=registry, run_tag=tag, **FIXED)
    assert registry.champion("ships") is None
    with pytest.raises(Conflict, match="expected to be served by version 2, but it is served by no version"):
        promote(registry, "ships", "1", expected="2")
    assert promote(registry, "ships", "1", expected=None).changed
    moved = promote(registry, "ships", "2", expected="1")
    assert (moved.from_version, moved.to_version, moved.changed) == ("1", "2", True)
    again = promote(registry, "ships", "2", expected="1")
    assert (again.from_version, again.to_version, again.changed) == ("1", "2", False)
    with pytest.raises(Conflict, match="is served by version 2; nothing was changed"):
        promote(registry, "ships", "1", expected="1")
    assert rollback(registry, "ships", "1", expected="2").changed
    champion = registry.champion("ships")
    assert champion is not None
    assert (champion.version, champion.aliases) == ("1", ("champion",))
    assert registry.alias("ships", "previous") == "2"


def test_what_does_not_exist_is_not_found(registry, make_spec):
    assert registry.versions("nobody") == []
    assert registry.champion("nobody") is None
    for ask in (
        lambda: registry.version("nobody", "1"),
        lambda: promote(registry, "nobody", "1", expected=None),
        lambda: registry.load_model("models:/nobody@champion", make_spec()),
        lambda: registry.load_model("models:/nobody/3", make_spec()),
        lambda: load_directory("/nowhere/at/all", make_spec()),
    ):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(InvalidInput):
        registry.versions("x' OR name LIKE '%")


def test_models_are_read_by_address_and_from_folders(registry, make_spec, make_rows, tmp_path):
    spec, rows = make_spec(name="read"), make_rows()
    train(spec, rows, registry=registry, run_tag="a", **FIXED)
    promote(registry, "read", "1", expected=None)
    expected = registry.load("read", "1", spec).predict(rows)
    for address in ("models:/read/1", "models:/read@champion"):
        pd.testing.assert_frame_equal(registry.load_model(address, spec).predict(rows), expected)
    storage.save(spec, fit(spec, rows), tmp_path / "folder", rows)
    assert registry.load_model(tmp_path / "folder", spec).version == "folder"


def test_models_that_others_saved_are_read(make_spec, make_rows, tmp_path, own_trainers):
    with tracking.silence():
        import mlflow.sklearn
        import mlflow.xgboost
    from xgboost import XGBClassifier

    spec = make_spec("binary", "trainer: own_trainers:pipeline", features={"age": "numeric", "amount": "numeric"})
    rows = make_rows()
    pipeline = fit(spec, rows).pipeline
    mlflow.sklearn.save_model(pipeline, str(tmp_path / "sk"), skops_trusted_types=["numpy.dtype"], pip_requirements=[])
    columns = rows[["amount", "age"]].replace(np.inf, np.nan)
    trees = XGBClassifier(n_estimators=5).fit(columns, rows["label"])
    mlflow.xgboost.save_model(trees, str(tmp_path / "xgb"), pip_requirements=[])
    for folder, theirs in (
        ("sk", pipeline.predict_proba(columns[["age", "amount"]])),
        ("xgb", trees.predict_proba(columns)),
    ):
        answer = load_directory(tmp_path / folder, spec).predict(rows.astype({"age": object}))
        np.testing.assert_allclose(answer["score"], theirs[:, 1], atol=1e-6)


def _skops_file(folder: Path, schema: dict[str, object]) -> None:
    """A model directory whose skops file asks for a dangerous type and vouches for itself."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    flavor = "{pickled_model: model.skops, serialization_format: skops, skops_trusted_types: [posix.system, os.system]}"
    (folder / "MLmodel").write_text(f"flavors: {{sklearn: {flavor}}}\n")


def test_a_model_file_that_vouches_for_a_dangerous_type_is_refused(make_spec, tmp_path):
    import skops.io

    marker = tmp_path / "ran"
    nothing = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": f'"touch {marker}"'}
    inner = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [nothing]}
    protocol = json.loads(zipfile.ZipFile(_dumped(skops.io)).read("schema.json"))["protocol"]
    schema = {
        "__class__": "system", "__module__": "posix", "__loader__": "ReduceNode", "__id__": 1,
        "content": {"reduce": [inner, None]}, "reduce": {"args": inner}, "protocol": protocol, "_skops_version": "0",
    }  # fmt: skip
    _skops_file(tmp_path / "bad", schema)
    with pytest.raises((InvalidInput, DataError)):
        load_directory(tmp_path / "bad", make_spec())
    assert not marker.exists()


def _dumped(io):
    from io import BytesIO

    return BytesIO(io.dumps([1]))


class Stranger:
    """A type that nobody vouched for."""


def test_a_type_that_is_not_on_the_list_is_refused_by_name(make_spec, tmp_path):
    import skops.io

    (tmp_path / "model").mkdir()
    skops.io.dump(Stranger(), tmp_path / "model" / "model.skops")
    flavor = "{pickled_model: model.skops, serialization_format: skops}"
    (tmp_path / "model" / "MLmodel").write_text(f"flavors: {{sklearn: {flavor}}}\n")
    with pytest.raises(InvalidInput, match=r"Stranger'.* is not among the types that may be loaded"):
        load_directory(tmp_path / "model", make_spec())


@pytest.mark.parametrize(
    ("described", "error", "says"),
    [
        (
            "flavors: {sklearn: {pickled_model: model.pkl, serialization_format: cloudpickle}}",
            InvalidInput,
            "is a pickle",
        ),
        ("flavors: {sklearn: {pickled_model: model.pkl}}", InvalidInput, "is a pickle"),
        (
            "flavors: {sklearn: {pickled_model: ../x, serialization_format: skops}}",
            InvalidInput,
            "outside its own folder",
        ),
        ("flavors: {sklearn: {pickled_model: model.pkl, serialization_format: skops}}", DataError, "no readable skops"),
        ("flavors: {sklearn: {pickled_model: gone, serialization_format: skops}}", DataError, "lacks its file 'gone'"),
        ("flavors: {xgboost: {data: model.pkl}}", DataError, "no readable XGBoost model"),
        ("flavors: {python_function: {loader_module: os}}", InvalidInput, "without running its code"),
        ("[1, 2]", DataError, "not a description of a model"),
        ("a: [", DataError, "cannot be read"),
    ],
)
def test_model_folders_that_cannot_be_trusted_or_read_say_why(described, error, says, make_spec, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    (tmp_path / "m" / "MLmodel").write_text(described)
    with pytest.raises(error, match=says):
        load_directory(tmp_path / "m", make_spec())


def test_a_model_that_wants_a_column_the_spec_lacks_is_refused(make_spec, make_rows, tmp_path):
    spec = make_spec()
    storage.save(spec, fit(spec, make_rows()), tmp_path / "m", make_rows())
    with pytest.raises(InvalidInput, match="is fed the column 'age', which its spec does not have"):
        load_directory(tmp_path / "m", make_spec(features={"amount": "numeric"}))


def test_a_registry_that_is_down_is_unavailable_within_seconds(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    blocker = tmp_path / "file"
    blocker.write_text("no folder")
    for address in (
        f"http://127.0.0.1:{port}",
        f"postgresql+psycopg://watch:secret@127.0.0.1:{port}/mlflow",
        f"sqlite:///{blocker}/mlflow.db",
    ):
        started = time.perf_counter()
        with pytest.raises(Unavailable) as caught:
            Registry(address).versions("any")
        assert time.perf_counter() - started < 10
        assert "secret" not in str(caught.value)


def test_an_address_that_is_none_is_refused_without_its_password():
    with pytest.raises(InvalidInput) as caught:
        Registry("mongodb://me:secret@host/db")
    assert "secret" not in str(caught.value)
