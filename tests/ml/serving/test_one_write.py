"""Answers leave in one write, and HTTP is as it was: pipelining, HEAD, 100-continue, long bodies, broken apps."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from ml.serving.one_write import OneWrite, Protocol


class Recorded:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def transport(recorded: Recorded) -> OneWrite:
    return OneWrite(recorded)


def test_head_and_body_leave_together(recorded: Recorded, transport: OneWrite) -> None:
    for body in (b"ok", b"", b"no"):
        transport.write(HEAD)
        transport.write(body)
    assert recorded.writes == [HEAD + b"ok", HEAD, HEAD + b"no"]


def test_a_long_body_is_not_copied(recorded: Recorded, transport: OneWrite) -> None:
    body = b"x" * 100_000
    transport.write(HEAD)
    transport.write(body)
    assert recorded.writes[0] == HEAD
    assert recorded.writes[1] is body


def test_what_is_no_head_of_an_answer_is_not_kept_back(recorded: Recorded, transport: OneWrite) -> None:
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert recorded.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_a_head_whose_body_never_came_leaves_before_the_end(recorded: Recorded, transport: OneWrite) -> None:
    transport.write(HEAD)
    transport.close()
    assert recorded.writes == [HEAD]
    assert transport.is_closing()


async def app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    if scope["path"] == "/broken":
        raise RuntimeError("broken")
    answer = b"x" * 300_000 if scope["path"] == "/long" else scope["path"].encode() + b" " + body
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/half":
        raise RuntimeError("the body never came")
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(
            uvicorn.Config(app, http=Protocol, loop="uvloop", lifespan="off", log_level="critical", log_config=None)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def talk(port: int, sent: bytes, until: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(sent)
        got = b""
        while not got.endswith(until) and (part := line.recv(65_536)):
            got += part
        return got


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    sent = b"".join(b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" % number for number in range(5))
    got = talk(port, sent, b"/4 abc")
    assert [got.count(b"/%d abc" % number) for number in range(5)] == [1] * 5
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 5


def test_head_has_no_body_and_the_connection_goes_on(port: int) -> None:
    got = talk(port, b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n", b"/b ")
    assert b"content-length: 3\r\n" in got
    assert b"/a " not in got


def test_a_client_that_waits_to_be_told_to_go_on_is_told(port: int) -> None:
    head = b"POST /c HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(head)
        assert line.recv(100).startswith(b"HTTP/1.1 100 Continue")
        line.sendall(b"hi")
        got = b""
        while not got.endswith(b"/c hi"):
            got += line.recv(1000)
    assert got.startswith(b"HTTP/1.1 200 OK")


def test_a_long_answer_arrives_whole(port: int) -> None:
    got = talk(port, b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"never")
    assert got.partition(b"\r\n\r\n")[2] == b"x" * 300_000


def test_an_app_that_breaks_before_its_answer_or_in_it_ends_the_request(port: int) -> None:
    assert talk(port, b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n", b"never").startswith(b"HTTP/1.1 500")
    got = talk(port, b"GET /half HTTP/1.1\r\nhost: a\r\n\r\n", b"never")
    assert got.endswith(b"\r\n\r\n")
