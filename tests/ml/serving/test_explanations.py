"""Why an answer is what it is: the values of `explain`, from a process that can be ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml.errors import Unavailable
from ml.models import explain
from ml.serving.answering import Answering
from ml.serving.app import App
from ml.serving.explanations import Explainer
from ml.serving.follower import Follower
from ml.serving.journal import Journal
from ml.serving.limits import Limits, Tokens
from ml.serving.pool import Pool
from ml.serving.problems import Refused
from tests.ml.serving.conftest import HOUSE, Counter, Shop, running, subscribers


@pytest.fixture
def explaining(shop: Shop, tmp_path: Path) -> Iterator[tuple[Counter, Explainer]]:
    """The application with an explainer."""
    follower = Follower(shop.root, lambda *what: None)
    pool = Pool(follower.open)
    follower.engines = pool
    journal = Journal(tmp_path / "journal")
    answering = Answering(follower, pool, journal, Limits())
    explainer = Explainer(shop.registry.uri, seconds=60)
    app = App(follower, answering, Limits(), Tokens(), explainer=explainer)
    with running(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        counter = Counter(follower, app, client, tmp_path / "journal")
        counter.tell(shop.state())
        yield counter, explainer
    explainer.close()
    follower.stop()
    answering.close()
    journal.close()
    pool.close()


def test_a_row_is_explained_as_a_report_would_and_nothing_is_logged(explaining, shop: Shop) -> None:
    counter, explainer = explaining
    rows = subscribers(5)[["age", "plan"]]
    asked = {"dataframe_records": rows.to_dict("records")}
    reply = counter.client.post("/models/churn/explain", json=asked)
    assert reply.status_code == 200, reply.text
    said = reply.json()
    assert (said["model"], said["version"], said["method"], said["unit"]) == ("churn", "1", "SHAP", "log-odds")
    direct = explain.contributions(shop.churn, shop.registry.load("churn", "1", shop.churn), rows)
    for got, expected in zip(said["contributions"], direct.to_dict("records"), strict=True):
        assert got == pytest.approx(expected)
    assert said["contributions"][0]["age"] != 0
    assert counter.journalled() == []

    worker = explainer._process
    assert worker is not None
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    again = counter.client.post("/models/churn/explain", json=asked)
    assert again.json() == said, "a process that died is replaced"


def test_what_cannot_be_explained_is_refused(explaining) -> None:
    counter, _ = explaining
    many = counter.client.post("/models/price/explain", json={"dataframe_records": [HOUSE] * 101})
    assert (many.status_code, many.json()["type"]) == (413, "urn:watchkeeper:too-many-rows")
    missing = counter.client.post("/models/price/explain", json={"dataframe_records": [{"size": 1}]})
    assert (missing.status_code, missing.json()["type"]) == (400, "urn:watchkeeper:missing-column")
    assert counter.client.post("/models/nothing/explain", json={}).status_code == 404
    assert counter.client.post("/models/price/explain", json={"dataframe_records": []}).status_code == 400


def test_past_its_time_it_is_ended_and_the_next_question_begins_anew(shop: Shop) -> None:
    explainer = Explainer(shop.registry.uri, seconds=0.001)
    columns = {"age": [50.0], "plan": ["plus"]}
    try:
        with pytest.raises(Refused, match=r"took longer than 0\.001 s and was ended"):
            asyncio.run(explainer.explain(shop.churn, "1", columns, 1))
        assert explainer._process is None
        explainer._seconds = 60
        found = asyncio.run(explainer.explain(shop.churn, "1", columns, 1))
        assert set(found.contributions[0]) == {"age", "plan"}
    finally:
        explainer.close()


def test_without_the_registry_it_says_so(shop: Shop) -> None:
    explainer = Explainer("http://127.0.0.1:9", seconds=60)
    try:
        with pytest.raises(Unavailable):
            asyncio.run(explainer.explain(shop.churn, "1", {"age": [50.0], "plan": ["plus"]}, 1))
    finally:
        explainer.close()
