"""The fixtures that the other tests lean on."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text


def test_a_connection_to_the_outside_is_refused_loudly():
    with socket.socket() as outside, pytest.raises(RuntimeError, match="loopback"):
        outside.connect(("192.0.2.1", 80))
    with pytest.raises(RuntimeError, match=r"example\.org"):
        socket.create_connection(("example.org", 80), timeout=1)


def test_a_connection_to_loopback_goes_through():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_home_is_a_temporary_folder(tmp_path_factory):
    assert Path(os.environ["HOME"]).is_relative_to(tmp_path_factory.getbasetemp())
    assert Path(os.environ["WATCHKEEPER_HOME"]).is_relative_to(os.environ["HOME"])


def test_every_test_gets_an_empty_database(database_url):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_once (number INTEGER)"))
        connection.execute(text("INSERT INTO only_once VALUES (1)"))
        assert connection.scalar(text("SELECT count(*) FROM only_once")) == 1
    engine.dispose()


def test_the_next_test_sees_nothing_of_the_one_before(database_url):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_once (number INTEGER)"))
        assert connection.scalar(text("SELECT count(*) FROM only_once")) == 0
    engine.dispose()


def test_the_clock_stands_still_until_told(clock, at):
    assert clock() == clock() == at("2026-03-01 12:00")
    assert clock.advance("36h") == at("2026-03-03 00:00") == clock()
