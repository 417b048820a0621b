"""The real server under load: any of its processes killed, its log taken away, its disks full; what it answered is in
the log, once. `make chaos-serving` kills 200 times."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from ml.serving.backlog import status
from ml.serving.drain import Drain
from ml.serving.drain_process import kept_specs
from tests.ml.serving.conftest import HOUSE, Shop
from tests.ml.serving.test_server import Server, children, registry, serving

__all__ = ["registry"]
KILLS = int(os.environ.get("CHAOS_SERVER_KILLS", "5"))
BODY = json.dumps({"dataframe_records": [HOUSE]})


@dataclass
class Caller:
    """Asks for one prediction after the other under ids of its own, each again until it is answered."""

    name: str
    answered: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    address: str = ""
    pause: float = 0

    def run(self, stop: threading.Event) -> None:
        line, number = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=5), 0
        while not stop.is_set():
            name = f"{self.name}-{number}"
            try:
                if self._post(line, "invocations", BODY, {"x-watchkeeper-prediction-id": name}) == 200:
                    self.answered.append(name)
                    number += 1
                    stop.wait(self.pause)
                    label = json.dumps({"rows": [{"prediction_id": name, "label": float(number)}]})
                    if number % 5 == 0 and self._post(line, "labels", label, {}) == 202:
                        self.labelled.append(name)
            except (OSError, http.client.HTTPException):
                line.close()  # and opened again
                stop.wait(0.01)
        line.close()

    def _post(self, line: http.client.HTTPConnection, what: str, body: str, headers: dict[str, str]) -> int:
        line.request("POST", f"/models/price/{what}", body, {"content-type": "application/json"} | headers)
        answer = line.getresponse()
        answer.read()
        if answer.status >= 400:
            self.refused[answer.status] += 1
        return answer.status


@contextmanager
def calling(address: str, names: Iterable[str], pause: float = 0) -> Iterator[list[Caller]]:
    stop, callers = threading.Event(), [Caller(name, address=address, pause=pause) for name in names]
    threads = [threading.Thread(target=caller.run, args=(stop,)) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def progress(callers: list[Caller], rows: int = 20) -> None:
    """Wait until every caller has so many more answers."""
    before = [len(caller.answered) for caller in callers]
    wait(lambda: all(len(c.answered) >= n + rows for c, n in zip(callers, before, strict=True)))


def wait(reached: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, "not reached"
        time.sleep(0.01)


def drain_process(server: Server) -> int:
    """The process that takes the journals into the log: the one that holds its lock."""
    lock = os.stat(server.home / "journal/drain.lock").st_ino
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return next(int(words[4]) for words in held if words[5].endswith(f":{lock}"))


def check(home: Path, shop: Shop, callers: list[Caller]) -> None:
    """Everything that was answered is in the log once, with the labels that were taken."""
    log = PredictionLog(home / "log")
    Drain(home / "journal", log, kept_specs(home / "journal")).once()
    frame = log.read(shop.price, None, columns=["prediction_id", "label", "prediction", "route"])
    counted = Counter(frame["prediction_id"])
    assert max(counted.values()) == 1
    answered = [name for caller in callers for name in caller.answered]
    assert [name for name in answered if name not in counted] == []
    labels = frame.set_index("prediction_id")["label"]
    assert all(labels[name] == int(name.split("-")[1]) + 1 for caller in callers for name in caller.labelled)
    assert sum(len(caller.labelled) for caller in callers) > 0
    assert set(frame["prediction"]) == {100.0}
    assert set(frame["route"]) == {"champion"}
    refused = home / "journal/refused"
    assert not refused.exists()


@pytest.mark.timeout(1200)
def test_killed_at_random_nothing_answered_is_lost_and_nothing_stands_twice(
    registry: Registry, shop: Shop, tmp_path: Path
) -> None:
    chance, killed = random.Random(7), Counter[str]()
    past: list[Caller] = []
    while sum(killed.values()) < KILLS:
        names = f"{len(past)}a {len(past)}b".split()
        with serving(registry, tmp_path, shop.root, workers=2) as server, calling(server.address, names) as callers:
            past += callers
            progress(callers)
            for _ in range(min(chance.choice([3, 20]), KILLS - sum(killed.values()) - 1)):
                time.sleep(chance.random() * 0.2)
                with suppress(ProcessLookupError):  # some end by themselves when they have nothing to do
                    os.kill(chance.choice(children(server.process.pid)), signal.SIGKILL)
                    killed["one"] += 1
                progress(callers, 5)
            family = [*children(server.process.pid), server.process.pid]
            for process in family if chance.random() < 0.5 else family[::-1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            killed["all"] += 1
            server.process.wait()
    print(killed, sum(len(caller.answered) for caller in past), "answered")  # noqa: T201
    check(tmp_path, shop, past)


def test_log_and_disks_are_taken_away_and_given_back(registry: Registry, shop: Shop, tmp_path: Path) -> None:
    log, away, journal = tmp_path / "log", tmp_path / "away", tmp_path / "journal"
    with serving(registry, tmp_path, shop.root, workers=1) as server, calling(server.address, "ab", 0.005) as callers:
        wait(lambda: log.exists() and status(journal).rows > 0)
        log.rename(away)
        wait(lambda: status(journal).failure is not None)
        waits = status(journal).behind
        progress(callers, 50)
        assert status(journal).behind > waits, "what waits is seen to grow"
        assert not log.exists(), "no other log is begun in its place"
        away.rename(log)
        wait(lambda: status(journal).failure is None)

        limit_files(drain_process(server), 0)
        wait(lambda: status(journal).behind > 100_000)
        rows, failures = status(journal).rows, status(journal).failures
        progress(callers, 50)
        assert status(journal).rows == rows
        limit_files(drain_process(server), resource.RLIM_INFINITY)
        wait(lambda: status(journal).rows > rows)
        assert status(journal).failures > failures
        assert [dict(caller.refused) for caller in callers] == [{}, {}], "answers went on, whatever the log did"

        workers = [pid for pid in children(server.process.pid) if answers(pid)]
        for pid in workers:
            limit_files(pid, 10_000)
        wait(lambda: all(caller.refused[503] > 3 for caller in callers))
        with server.client() as client:
            assert client.post("/models/price/invocations", content=BODY).headers["retry-after"]
        for pid in workers:
            limit_files(pid, resource.RLIM_INFINITY)
        progress(callers)
        assert {code for caller in callers for code in caller.refused} == {503}
    check(tmp_path, shop, callers)


def limit_files(pid: int, size: int) -> None:
    """A disk that is full for one process: its files cannot grow beyond so many bytes."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def answers(pid: int) -> bool:
    """Whether it is a process that answers: it has a segment of the journal open."""
    links = [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    return any(os.readlink(path).endswith(".segment") for path in links)
