"""A request that takes too long, and too many at once, are told so; the server goes on."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml.serving.limits import Limits
from ml.serving.rows import Answers, Rows
from tests.ml.serving.conftest import HOUSE, Counter


class Slow:
    """An engine that waits until it is let go."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.model, self.version, self.kind = engine, engine.model, engine.version, engine.kind
        self.nbytes = engine.nbytes
        self.began, self.go = threading.Event(), threading.Event()

    def answer(self, rows: Rows) -> Answers:
        self.began.set()
        assert self.go.wait(20)
        answers: Answers = self.engine.answer(rows)
        return answers


@pytest.fixture
def slow(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> Slow:
    served = counter.follower.served["price"]
    engine = Slow(counter.app.answering.engines.get("price", served.folders["1"]))
    monkeypatch.setattr(counter.app.answering.engines, "ready", lambda model, folder: engine)
    return engine


ROWS = [HOUSE] * 200
"""Enough for a thread."""


class TestTime:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(seconds=0.3)

    def test_an_answer_that_is_too_late_is_not_waited_for(self, counter: Counter, slow: Slow) -> None:
        answer = counter.ask(*ROWS)
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:watchkeeper:too-slow")
        slow.go.set()
        assert counter.ask(*ROWS).status_code == 200

    def test_a_body_that_does_not_come_is_not_waited_for(self, counter: Counter) -> None:
        address = counter.client.base_url
        with socket.create_connection((address.host, address.port), timeout=20) as line:
            line.sendall(b"POST /models/price/invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
            assert line.recv(4096).startswith(b"HTTP/1.1 504 ")


class TestAtOnce:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(at_once=1, seconds=20)

    def test_one_more_than_can_be_answered_is_told_to_come_again(self, counter: Counter, slow: Slow) -> None:
        with ThreadPoolExecutor(1) as others:
            first = others.submit(counter.ask, *ROWS)
            assert slow.began.wait(20)
            second = counter.ask(*ROWS)
            assert counter.client.get("/healthz").status_code == 200
            slow.go.set()
            assert first.result().status_code == 200
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        assert second.json()["type"] == "urn:watchkeeper:too-many-at-once"
