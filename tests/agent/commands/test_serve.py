"""The long-running processes: they say where they listen, refuse what others could reach, and end when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.bootstrap import build
from agent.commands import serve
from agent.domain.errors import InvalidInput, Unavailable
from agent.settings import load_settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "watchkeeper.yaml").write_text("", encoding="utf-8")
    build(load_settings({}, home=tmp_path), migrate=True).store.close()
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_the_next_step(taken: int) -> None:
    said = rf"127\.0\.0\.1:{taken} cannot be opened .*WATCHKEEPER_BIND=127\.0\.0\.1:{taken + 1}"
    with pytest.raises(Unavailable, match=said), serve.listen("127.0.0.1", taken):
        pass


def test_an_address_beyond_this_machine_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_BIND", "0.0.0.0:8000")
    with pytest.raises(InvalidInput, match="nobody can sign in yet"):
        serve.command(home, api=True, worker=False)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_signal_ends_it_cleanly(home: Path, command: str, told: signal.Signals) -> None:
    code = f"from agent.commands.serve import command; command(None, api={command == 'serve'}, worker=True)"
    environment = {
        **os.environ,
        "WATCHKEEPER_HOME": str(home),
        "WATCHKEEPER_BIND": "127.0.0.1:0",
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "Ctrl-C" in line)
        if command == "serve":
            address = said.split()[2].rstrip(".")
            with urllib.request.urlopen(f"{address}/healthz", timeout=30) as answer:
                assert answer.status == 200
        process.send_signal(told)
        rest, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
