"""A registry with versions whose answers tell them apart, and the application over it, in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pandas as pd
import pytest
import uvicorn

from ml.models import recipes, training
from ml.models.registry import Registry
from ml.serving.answering import Answering
from ml.serving.app import App
from ml.serving.follower import Follower
from ml.serving.journal import Journal
from ml.serving.limits import Limits, Tokens
from ml.serving.pool import Pool
from ml.serving.preparing import Job, prepare_version
from ml.serving.records import Served, decode, scan
from ml.serving.routing import Routes
from ml.serving.state import ModelState, State
from ml.spec import ModelSpec, parse_spec

PRICE = """
name: price
task: regression
features:
  size: {type: numeric}
  rooms: {type: numeric}
  town: {type: categorical}
  garden: {type: boolean}
  built: {type: datetime}
  note: {type: text, used: false}
entity: customer
trainer: xgboost
training: {parameters: {n_estimators: 3}}
"""
CHURN = """
name: churn
task: binary
features:
  age: {type: numeric}
  plan: {type: categorical}
trainer: xgboost
training: {parameters: {n_estimators: 20}}
"""


def houses(n: int, *, price: float) -> pd.DataFrame:
    """Rows that all have one price, so that a model that learnt them says nothing else."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC"),
            "size": rng.normal(100, 20, n),
            "rooms": rng.integers(1, 6, n).astype(float),
            "town": rng.choice(["Ulm", "Bonn"], n),
            "garden": rng.choice([True, False], n),
            "built": pd.date_range("1990-01-01", periods=n, freq="30D", tz="UTC"),
            "note": "",
            "label": price,
        }
    )


def subscribers(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age = rng.normal(50, 10, n)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC"),
            "age": age,
            "plan": rng.choice(["basic", "plus"], n),
            "label": (age + rng.normal(0, 5, n) > 50).astype(int),
        }
    )


@dataclass
class Shop:
    """A registry with three versions of `price` (version v says v * 100) and one of `churn`; all prepared."""

    registry: Registry
    root: Path
    price: ModelSpec = field(default_factory=lambda: parse_spec(PRICE))
    churn: ModelSpec = field(default_factory=lambda: parse_spec(CHURN))
    folders: dict[str, dict[str, str]] = field(default_factory=dict)

    def prepare(self, spec: ModelSpec, version: str) -> None:
        found = self.registry.store.ask(lambda client: client.get_model_version(spec.name, version))
        origin = f"{found.run_id}/{found.creation_timestamp}/{found.source}"
        job = Job(self.registry.uri, False, spec, version, origin)
        prepare_version(job, self.root)
        self.folders.setdefault(spec.name, {})[version] = job.folder

    def state(self, routes: Routes = Routes("1")) -> State:  # noqa: B008
        """`price` by these routes, `churn` by its one version."""
        models = {
            "price": ModelState(self.price, routes, self.folders["price"]),
            "churn": ModelState(self.churn, Routes("1"), self.folders["churn"]),
        }
        return State(models=models, asked=True)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    shop = Shop(Registry(f"sqlite:///{folder}/mlflow.db"), folder / "models")
    for version in (1, 2, 3):
        model = recipes.fit(shop.price, houses(60, price=100.0 * version))
        training.register_external(shop.price, model, registry=shop.registry, run_tag=f"price-{version}")
        shop.prepare(shop.price, str(version))
    past = subscribers(300)
    model = recipes.fit(shop.churn, past[:200])
    training.register_external(
        shop.churn, model, registry=shop.registry, run_tag="churn-1", reference=past[200:].reset_index(drop=True)
    )
    shop.prepare(shop.churn, "1")
    return shop


HOUSE = {"size": 80.0, "rooms": 3, "town": "Ulm", "garden": True, "built": "1999-05-01"}


@dataclass
class Counter:
    """The application as a client sees it: real HTTP, real engines, a real journal; in a thread of this process."""

    follower: Follower
    app: App
    client: httpx.Client
    journal: Path

    def tell(self, state: State) -> None:
        self.follower.tell(state)
        self.follower.take_up(state)

    def score(self, body: Any, model: str = "price", **headers: str) -> httpx.Response:
        """Post to /invocations; bytes go as they are."""
        named = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.client.post(f"/models/{model}/invocations", content=content, headers=named)

    def ask(self, *rows: dict[str, Any], model: str = "price", **headers: str) -> httpx.Response:
        return self.score({"dataframe_records": list(rows)}, model, **headers)

    def infer(self, body: Any, path: str = "price") -> httpx.Response:
        """Post to Open Inference."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.client.post(f"/v2/models/{path}/infer", content=content)

    def journalled(self) -> list[Any]:
        """What stands in the journal, each column as a list."""
        found = [decode(item.payload) for folder in self.journal.iterdir() for item in scan(folder, 0, live=True)]
        return [as_lists(record) if isinstance(record, Served) else record for record in found]


def as_lists(record: Served) -> Served:
    def column(values: Any) -> list[Any]:
        if record.single:
            return [values]
        return np.frombuffer(values, np.float64).tolist() if isinstance(values, bytes) else list(values)

    return replace(record, columns={name: column(values) for name, values in record.columns.items()})


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Its address, while a server for it runs in a thread."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", http="httptools"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def limits() -> Limits:
    """Overridden by tests of limits."""
    return Limits(most_bytes=200_000, most_rows=1_000, seconds=20, patience=0.1)


@pytest.fixture
def tokens() -> tuple[str, ...]:
    return ()


@pytest.fixture
def counter(shop: Shop, tmp_path: Path, limits: Limits, tokens: tuple[str, ...]) -> Iterator[Counter]:
    asked: list[tuple[str, str, bool]] = []
    follower = Follower(shop.root, lambda *what: asked.append(what))
    pool = Pool(follower.open)
    follower.engines = pool
    journal = Journal(tmp_path / "journal")
    answering = Answering(follower, pool, journal, limits)
    app = App(follower, answering, limits, Tokens(tokens))
    with running(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        counter = Counter(follower, app, client, tmp_path / "journal")
        counter.tell(shop.state())
        yield counter
    follower.stop()
    answering.close()
    journal.close()
    pool.close()
