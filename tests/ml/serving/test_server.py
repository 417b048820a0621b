"""The server as processes: switched, killed and stopped under load, and without its registry."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from ml.data.prediction_log import PredictionLog
from ml.models import deployment
from ml.models.registry import Registry
from ml.results import Window
from ml.serving.drain import Drain
from tests.ml.serving.conftest import CHURN, HOUSE, PRICE, Shop

REPOSITORY = Path(__file__).parents[3]
SWITCHES = int(os.environ.get("CHAOS_SWITCHES", "9"))
"""`make chaos-serving` has 100, within a second each, unless `BUSY` or more processes wait for each processor."""
BUSY = 3.0
EARLY, LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BODY = {"dataframe_records": [HOUSE]}


@dataclass
class Server:
    """A running model server."""

    process: subprocess.Popen[str]
    address: str
    home: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=30)

    def wait_for(self, reached: Callable[[httpx.Client], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        with self.client() as client:
            while time.monotonic() < until:
                try:
                    if reached(client):
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.02)
        raise AssertionError(f"not reached; the server said:\n{self.said()}")

    def said(self) -> str:
        return (self.home / "stderr").read_text()

    def answers_by(self, version: str) -> bool:
        with self.client() as client:
            return client.post("/models/price/invocations", json=BODY).headers["x-watchkeeper-version"] == version


@contextmanager
def serving(registry: Registry, home: Path, models: Path, *, workers: int) -> Iterator[Server]:
    (home / "specs").mkdir(parents=True, exist_ok=True)
    (home / "specs/price.yaml").write_text(PRICE)
    (home / "specs/churn.yaml").write_text(CHURN)
    command = [sys.executable, "-m", "tests.ml.serving.serving_process", registry.uri, home, models, str(workers)]
    with (home / "stderr").open("w") as errors:
        process = subprocess.Popen(
            list(map(str, command)), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        server = Server(process, f"http://127.0.0.1:{int(process.stdout.readline())}", home)
        server.wait_for(lambda client: client.get("/readyz").status_code == 200)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture
def registry(shop: Shop) -> Registry:
    """Version 1 is champion of both."""
    shop.registry.store.ask(lambda client: client.set_registered_model_alias("price", "champion", "1"))
    shop.registry.store.ask(lambda client: client.set_registered_model_alias("churn", "champion", "1"))
    return shop.registry


@dataclass
class Load:
    """One client that asks again and again over one connection."""

    server: Server
    answers: list[tuple[float, float, str, float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    version: str = ""

    def run(self, stop: threading.Event) -> None:
        with self.server.client() as client:
            while not stop.is_set():
                sent = time.monotonic()
                try:
                    answer = client.post("/models/price/invocations", json=BODY)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
                    continue
                said = answer.json()
                self.version = answer.headers["x-watchkeeper-version"]
                self.answers.append(
                    (sent, time.monotonic(), self.version, said["predictions"][0], said["prediction_ids"][0])
                )


@contextmanager
def load(server: Server, clients: int = 4) -> Iterator[list[Load]]:
    stop, loads = threading.Event(), [Load(server) for _ in range(clients)]
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in loads]
    for thread in threads:
        thread.start()
    try:
        yield loads
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(reached: Callable[[], bool], seconds: float = 30) -> float:
    """Seconds until it was reached."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < seconds, "not reached"
        time.sleep(0.005)
    return time.monotonic() - began


def test_switching_the_champion_under_load_fails_no_request(registry: Registry, shop: Shop, tmp_path: Path) -> None:
    order, lags = ["1"], []
    with serving(registry, tmp_path, shop.root, workers=2) as server:
        with load(server) as loads:
            until(partial(all_on, loads, "1"))
            for number in range(SWITCHES):
                version = str((number + 1) % 3 + 1)
                deployment.promote(registry, "price", version, expected=order[-1])
                order.append(version)
                lags.append(until(partial(all_on, loads, version)))
        assert [one.failures for one in loads] == [[]] * len(loads)
        for one in loads:
            assert {price == 100.0 * int(version) for _, _, version, price, _ in one.answers} == {True}
            seen = [version for version, _ in groupby(one.answers, key=lambda answer: answer[2])]
            assert seen == order, "no client ever goes back to a version that was replaced"
        rows = sum(len(one.answers) for one in loads)
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(  # noqa: T201
        f"{len(lags)} switches, {rows} answers, no failure; all on the new version in {statistics.median(lags):.2f} s "
        f"(median), {max(lags):.2f} s (slowest); {busy:.1f} processes wait for each processor"
    )
    if "CHAOS_SWITCHES" in os.environ:
        assert statistics.median(lags) < 1.0
        assert max(lags) < 1.0 or busy > BUSY, "the machine was not that busy"


def test_whatever_process_is_killed_is_replaced_and_nothing_answered_is_lost(
    registry: Registry, shop: Shop, tmp_path: Path
) -> None:
    with serving(registry, tmp_path, shop.root, workers=2) as server:
        with load(server, 2) as loads:
            until(lambda: all(one.answers for one in loads))
            for child in children(server.process.pid):
                os.kill(child, signal.SIGKILL)
                until(partial(answered_since, loads, [len(one.answers) + 20 for one in loads]))
        server.wait_for(lambda client: client.get("/readyz").status_code == 200)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0, server.said()
    assert refusals(loads) == []
    answered = sorted(one_id for one in loads for *_, one_id in one.answers)
    assert logged(server, shop, answered) == answered
    assert "another takes its place" in server.said()


def test_told_to_stop_it_ends_in_good_order(registry: Registry, shop: Shop, tmp_path: Path) -> None:
    with serving(registry, tmp_path, shop.root, workers=2) as server:
        with load(server) as loads:
            until(lambda: all(len(one.answers) > 20 for one in loads))
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0, server.said()
        assert refusals(loads) == []
    answered = sorted(one_id for one in loads for *_, one_id in one.answers)
    assert logged(server, shop, answered) == answered
    assert server.said() == ""


def test_the_registry_is_taken_away_and_given_back(shop: Shop, registry: Registry, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(registry.uri.removeprefix("sqlite:///"), database)
    whole = database.read_bytes()
    mine = Registry(f"sqlite:///{database}")

    def registry_is(state: str) -> Callable[[httpx.Client], bool]:
        return lambda client: client.get("/readyz").json()["registry"] == state

    with serving(mine, tmp_path / "home", shop.root, workers=1) as server:
        database.write_bytes(b"gone" * 10_000)
        server.wait_for(registry_is("away"))
        assert server.answers_by("1")
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
        database.write_bytes(whole)
        server.wait_for(registry_is("ok"))
        deployment.promote(Registry(mine.uri), "price", "3", expected="1")
        server.wait_for(lambda _: server.answers_by("3"))
    database.write_bytes(b"gone" * 10_000)
    with serving(mine, tmp_path / "home", shop.root, workers=1) as server:
        assert server.answers_by("3"), "started without a registry, it serves what it served last"
        server.wait_for(registry_is("away"))


def refusals(loads: list[Load]) -> list[str]:
    """What was answered with anything but 200; a connection that a killed process held is none of these."""
    return [failure for one in loads for failure in one.failures if failure[:1].isdigit()]


def all_on(loads: list[Load], version: str) -> bool:
    return all(one.version == version for one in loads)


def answered_since(loads: list[Load], counts: list[int]) -> bool:
    return all(len(one.answers) >= count for one, count in zip(loads, counts, strict=True))


def children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(child) for child in text.split()]


def logged(server: Server, shop: Shop, answered: list[str]) -> list[str]:
    """The answered ids, as often as they stand in the log, once what was left in the journal is taken there."""
    drain = Drain(server.home / "journal", PredictionLog(str(server.home / "log")), {"price": shop.price}.get)
    drain.once()
    frame = PredictionLog(str(server.home / "log")).read(shop.price, Window(EARLY, LATE))
    wanted = set(answered)
    return sorted(one for one in frame["prediction_id"] if one in wanted)
