"""What the registry says becomes what is served: aliases, shares, failures, and a registry that is away."""

from __future__ import annotations

import warnings
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from ml.errors import Unavailable, WatchkeeperError
from ml.models import deployment, recipes, training
from ml.models.registry import Registry
from ml.serving import keeper as keeping
from ml.serving.drain_process import kept_specs
from ml.serving.keeper import Keeper
from ml.serving.preparing import VERSION_FILE, Job, Preparer, open_version, prepare_version
from ml.serving.routing import Routes
from ml.serving.rows import Rows
from ml.serving.state import State
from ml.spec import FeatureType, ModelSpec
from tests.ml.serving.conftest import Shop, houses, subscribers


class InThisProcess(Preparer):
    """Prepares when asked, here; all else as it is."""

    def start(self, job: Job) -> Future[None]:
        done: Future[None] = Future()
        try:
            prepare_version(job, self.root)
            done.set_result(None)
        except WatchkeeperError as error:
            done.set_exception(error)
        return done


@dataclass
class Desk:
    keeper: Keeper
    registry: Registry
    specs: dict[str, ModelSpec]
    told: list[State] = field(default_factory=list)

    def alias(self, name: str, version: str | None, model: str = "price") -> None:
        ask = self.registry.store.ask
        if version is None:
            ask(lambda client: client.delete_registered_model_alias(model, name))
        else:
            ask(lambda client: client.set_registered_model_alias(model, name, version))

    def share(self, text: str) -> None:
        self.registry.store.ask(lambda client: client.set_registered_model_tag("price", keeping.SHARE_TAG, text))

    def look(self) -> State:
        """Two looks: what the first has prepared, the second finds."""
        self.keeper.look()
        self.keeper.look()
        return self.keeper.state

    def routes(self) -> Routes:
        return self.look().models["price"].routes


@pytest.fixture
def desk(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(keeping, "Preparer", InThisProcess)
    monkeypatch.setattr(keeping, "SPECS_EVERY", 0.0)
    told: list[State] = []
    specs = {"price": shop.price}
    keeper = Keeper(
        shop.registry,
        lambda: specs,
        told.append,
        models=shop.root,
        journal=tmp_path / "journal",
        saved=tmp_path / "served.json",
    )
    desk = Desk(keeper, shop.registry, specs, told)
    desk.alias("champion", "1")
    for name in ("canary", "shadow", "previous"):
        desk.alias(name, None)
    desk.share("0")
    return desk


def test_the_aliases_are_the_routes(desk: Desk) -> None:
    assert desk.routes() == Routes("1")
    desk.alias("canary", "2")
    desk.share("0.25")
    desk.alias("shadow", "3")
    assert desk.routes() == Routes("1", "2", 0.25, "3")
    deployment.promote(desk.registry, "price", "2", expected="1")
    assert desk.routes() == Routes("2", None, 0.25, "3")
    deployment.rollback(desk.registry, "price", "1", expected="2")
    desk.alias("shadow", None)
    assert desk.routes() == Routes("1", "2", 0.25)


def test_only_news_is_told(desk: Desk) -> None:
    desk.look()
    count = len(desk.told)
    desk.look()
    assert len(desk.told) == count
    desk.alias("shadow", "2")
    desk.look()
    assert len(desk.told) == count + 1


@pytest.mark.parametrize("text", ["half", "1.5", "-0.1", "nan", ""])
def test_a_share_that_is_none_gives_the_canary_nothing_and_says_so(desk: Desk, text: str) -> None:
    desk.alias("canary", "2")
    desk.share(text)
    assert desk.routes() == Routes("1", "2", 0.0)
    assert keeping.SHARE_TAG in desk.keeper.state.notes["price"]


def test_every_version_with_an_alias_and_the_newest_are_ready_before_they_are_needed(desk: Desk) -> None:
    desk.alias("previous", "2")
    assert set(desk.look().models["price"].folders) == {"1", "2", "3"}


def test_a_champion_that_cannot_be_prepared_leaves_the_last_one_answering(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.look()
    monkeypatch.setattr(keeping, "FIRST_RETRY", 0.0)
    made = desk.registry.store.ask(lambda client: client.create_model_version("price", "/nowhere/at/all"))
    broken = str(made.version)
    desk.alias("champion", broken)
    assert desk.routes() == Routes("1")
    state = desk.keeper.state
    assert ("price", broken) in state.refused
    assert f"as version {broken} cannot be prepared" in state.notes["price"]
    desk.alias("champion", "2")
    desk.registry.store.ask(lambda client: client.delete_model_version("price", broken))
    assert desk.routes() == Routes("2")


def test_a_model_that_loses_its_champion_goes_on_answering(desk: Desk) -> None:
    desk.look()
    desk.alias("champion", None)
    state = desk.look()
    assert state.models["price"].routes == Routes("1")
    assert "no version of it is champion" in state.notes["price"]


def test_a_model_without_a_champion_waits_for_none(desk: Desk, shop: Shop) -> None:
    desk.specs["other"] = shop.price.model_copy(update={"name": "other"})
    state = desk.look()
    assert set(state.models) == {"price"}
    assert state.waiting == {}
    assert "other" in state.notes


def test_a_model_that_is_taken_out_is_served_no_more(desk: Desk) -> None:
    desk.look()
    del desk.specs["price"]
    assert desk.look().models == {}


def test_a_spec_that_changes_is_taken_up_with_files_of_its_own(desk: Desk) -> None:
    before = desk.look().models["price"].folders["1"]
    features = desk.specs["price"].features
    changed = features | {"note": features["note"].model_copy(update={"type": FeatureType.CATEGORICAL})}
    desk.specs["price"] = desk.specs["price"].model_copy(update={"features": changed})
    now = desk.look().models["price"]
    assert now.spec.features["note"].type is FeatureType.CATEGORICAL
    assert now.folders["1"] != before


def test_a_registry_that_is_away_changes_nothing_but_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.look()
    with monkeypatch.context() as patch:
        patch.setattr(desk.registry.store, "pages", away)
        state = desk.look()
        assert state.models["price"].routes == Routes("1")
        assert state.away_since is not None
        assert "nobody answers" in state.away
        assert desk.told[-1] == state
    assert desk.look().away_since is None


def test_started_without_a_registry_it_serves_what_it_served_last(
    desk: Desk, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.look()
    again = Keeper(
        shop.registry, away, desk.told.append, models=shop.root, journal=tmp_path, saved=tmp_path / "served.json"
    )
    again.look()
    assert again.state.models == desk.keeper.state.models
    assert not again.state.asked
    (tmp_path / "served.json").write_text("{")
    empty = Keeper(
        shop.registry, away, desk.told.append, models=shop.root, journal=tmp_path, saved=tmp_path / "served.json"
    )
    empty.look()
    assert empty.state.models == {}


def test_a_version_is_prepared_because_somebody_asks_for_it(desk: Desk) -> None:
    desk.look()
    desk.keeper.ask("price", "2")
    assert "2" in desk.look().models["price"].folders
    desk.keeper.ask("price", "999")
    state = desk.look()
    assert "has no version '999'" in state.refused["price", "999"]


def test_files_that_are_broken_are_made_again(desk: Desk, shop: Shop) -> None:
    folder = shop.root / desk.look().models["price"].folders["1"]
    (folder / "engine.json").write_text("{")
    desk.keeper.ask("price", "1", broken=True)
    desk.look()
    assert (folder / VERSION_FILE).exists()
    assert (folder / "engine.json").read_text() != "{"


def test_the_drain_knows_the_spec_before_the_first_answer(desk: Desk, tmp_path: Path) -> None:
    specs_when_told: list[ModelSpec | None] = []
    desk.keeper._tell = lambda state: specs_when_told.append(kept_specs(tmp_path / "journal")("price"))
    desk.look()
    assert specs_when_told[-1] == desk.specs["price"]


@pytest.fixture(scope="module")
def pickled(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A version of `churn` that is a pickle; its number."""
    from mlflow.sklearn import save_model

    path = tmp_path_factory.mktemp("pickled") / "model"
    rows = subscribers(200)
    model = LogisticRegression().fit(rows[["age"]], rows["label"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_model(model, str(path), serialization_format="cloudpickle", pip_requirements=[])
    made = shop.registry.store.ask(lambda client: client.create_model_version("churn", str(path)))
    return str(made.version)


def test_a_pickle_is_not_loaded_unless_that_was_asked_for(desk: Desk, shop: Shop, pickled: str, tmp_path: Path) -> None:
    desk.specs["churn"] = shop.churn
    desk.alias("champion", pickled, "churn")
    state = desk.look()
    assert "churn" not in state.models
    assert "is a pickle" in state.waiting["churn"]

    trusting = Registry(shop.registry.uri, allow_pickle=True)
    keeper = Keeper(
        trusting, lambda: desk.specs, desk.told.append, models=shop.root, journal=tmp_path, saved=tmp_path / "s.json"
    )
    keeper.look()
    keeper.look()
    folder = shop.root / keeper.state.models["churn"].folders[pickled]
    engine = open_version(folder, shop.churn, pickled, allow_pickle=True)
    rows = Rows({"age": [70.0, 30.0], "plan": ["basic", "plus"]}, ["a", "b"])
    assert list(engine.answer(rows).predictions) == [1, 0]
    assert "churn" not in desk.look().models, "what was prepared with pickle is not taken up without"


def test_a_registry_in_postgresql_is_followed_too(postgres_url: str, shop: Shop, tmp_path: Path) -> None:
    registry = Registry(postgres_url, artifacts=(tmp_path / "artifacts").as_uri())
    for version in (1, 2):
        model = recipes.fit(shop.price, houses(60, price=100.0 * version))
        training.register_external(shop.price, model, registry=registry, run_tag=f"price-{version}")
    deployment.promote(registry, "price", "1", expected=None)
    keeper = Keeper(
        registry,
        lambda: {"price": shop.price},
        lambda state: None,
        models=tmp_path / "models",
        journal=tmp_path / "journal",
        saved=tmp_path / "served.json",
    )
    keeper.preparer = InThisProcess(tmp_path / "models")
    desk = Desk(keeper, registry, {})
    assert desk.routes() == Routes("1")
    deployment.promote(registry, "price", "2", expected="1")
    assert desk.routes() == Routes("2")
    assert set(desk.look().models["price"].folders) == {"1", "2"}


def away(*_: object) -> dict[str, ModelSpec]:
    raise Unavailable("nobody answers")
