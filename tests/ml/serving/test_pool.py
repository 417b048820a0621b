"""Many models under one budget: loaded once, the longest unused let go, failures not tried again at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml.errors import NotFound
from ml.serving.pool import LONGEST_WAIT, Pool
from ml.serving.rows import Answers, Rows


class Fixed:
    kind = "fixed"

    def __init__(self, model: str, version: str, nbytes: int = 10) -> None:
        self.model, self.version, self.nbytes = model, version, nbytes

    def answer(self, rows: Rows) -> Answers:
        return Answers([self.version] * len(rows), [None] * len(rows))


class Loader:
    """Loads what it is asked for, counts how often, and fails for the version 'bad' as long as it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.broken = True
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, model: str, version: str) -> Fixed:
        self.asked.append((model, version))
        assert self.gate.wait(10)
        if version == "bad" and self.broken:
            raise NotFound("no such file")
        return Fixed(model, version, nbytes=80 if version == "huge" else 10)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_ready_never_loads_and_get_loads_once(loader: Loader) -> None:
    pool = Pool(loader)
    assert pool.ready("a", "1") is None
    assert loader.asked == []
    engine = pool.get("a", "1")
    assert pool.get("a", "1") is engine
    assert pool.ready("a", "1") is engine
    assert loader.asked == [("a", "1")]


def test_the_longest_unused_goes_first_and_comes_back_when_asked_for(loader: Loader) -> None:
    pool = Pool(loader, budget=30)
    for model in "abc":
        pool.get(model, "1")
    pool.ready("a", "1")
    pool.get("d", "1")
    assert [model for model in "abcd" if pool.ready(model, "1")] == ["a", "c", "d"]
    state = pool.state()
    assert (state.loaded, state.nbytes, state.evictions, state.loads) == (3, 30, 1, 4)
    assert pool.get("b", "1").model == "b"
    assert loader.asked.count(("b", "1")) == 2


def test_an_engine_in_use_counts_until_its_request_ends(loader: Loader) -> None:
    pool = Pool(loader, budget=20)
    used = pool.get("a", "1")
    pool.get("b", "1")
    pool.get("c", "1")
    assert pool.ready("a", "1") is None
    assert used.answer(Rows({}, ["x"])).predictions == ["1"]
    assert pool.state().nbytes == 20  # a, which is still answering, and c: b had to go too
    del used
    assert pool.state().nbytes == 10


def test_a_model_larger_than_the_budget_is_held_alone(loader: Loader) -> None:
    pool = Pool(loader, budget=30)
    pool.get("a", "1")
    assert pool.get("b", "huge").nbytes == 80
    assert pool.ready("b", "huge") is not None
    assert pool.ready("a", "1") is None


def test_many_who_ask_at_once_share_one_load(loader: Loader) -> None:
    loader.gate.clear()
    pool = Pool(loader)
    with ThreadPoolExecutor(17) as threads:
        waiting = [threads.submit(pool.get, "a", "1") for _ in range(16)]
        other = threads.submit(pool.ready, "a", "1")
        assert other.result(5) is None  # does not wait for the load
        loader.gate.set()
        engines = {id(found.result(5)) for found in waiting}
    assert len(engines) == 1
    assert loader.asked == [("a", "1")]


def test_a_failure_is_remembered_for_longer_each_time_and_forgotten_on_success(loader: Loader) -> None:
    clock = Clock()
    pool = Pool(loader, clock=clock)
    waits = []
    for _ in range(8):
        before = len(loader.asked)
        with pytest.raises(NotFound, match="no such file"):
            pool.get("a", "bad")
        assert len(loader.asked) == before + 1
        start = clock.now
        while True:
            clock.now += 0.5
            pool.prefetch("a", "other")  # another version is not held up
            failing = pool._failed[("a", "bad")]
            if clock.now >= failing.until:
                break
            with pytest.raises(NotFound):
                pool.get("a", "bad")
        waits.append(clock.now - start)
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT]
    assert pool.state().failures == 8
    loader.broken = False
    assert pool.get("a", "bad").version == "bad"
    pool.close()


def test_forgetting_loads_anew(loader: Loader) -> None:
    pool = Pool(loader)
    first = pool.get("a", "1")
    pool.forget("a", "1")
    assert pool.get("a", "1") is not first
    with pytest.raises(NotFound):
        pool.get("a", "bad")
    loader.broken = False
    pool.forget("a", "bad")
    assert pool.get("a", "bad").version == "bad"


def test_prefetch_loads_behind_and_swallows_failures(loader: Loader) -> None:
    pool = Pool(loader)
    pool.prefetch("a", "1")
    pool.prefetch("a", "bad")
    pool._behind.shutdown(wait=True)
    assert pool.ready("a", "1") is not None
    with pytest.raises(NotFound):
        pool.get("a", "bad")


def test_an_interrupted_load_leaves_nobody_waiting(loader: Loader) -> None:
    def interrupted(model: str, version: str) -> Fixed:
        raise KeyboardInterrupt

    pool = Pool(interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.get("a", "1")
    pool._loader = loader
    assert pool.get("a", "1").version == "1"


def test_many_threads_over_a_small_budget_never_hold_more_than_it(loader: Loader) -> None:
    pool = Pool(loader, budget=50)

    def work(seed: int) -> None:
        for j in range(200):
            name = f"m{(seed * 7 + j * 3) % 12}"
            assert pool.get(name, "1").model == name

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work, seed) for seed in range(8)]:
            done.result(30)
    assert pool.state().nbytes <= 50
    assert pool.state().loaded <= 5
