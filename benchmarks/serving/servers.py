"""Starts and stops the servers that are compared, each with one worker on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OURS, MLFLOW, BARE = "watchkeeper serve-model", "mlflow models serve", "FastAPI + pydantic + ONNX Runtime"


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    pid: int
    port: int
    script: Path


@contextmanager
def running(name: str, home: Path) -> Iterator[Server]:
    """A server that answers. Raises: SystemExit with the end of its log when it does not come up."""
    port = _free_port()
    command, environment, path = _command(name, home, port)
    log = home / f"{name.split()[0].lower()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=os.environ | environment, start_new_session=True, cwd=Path.cwd()
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{path}", log)
        script = home / ("bare.lua" if name == BARE else "split.lua")
        yield Server(name, process.pid, port, script)
    finally:
        _stop(process)


def _command(name: str, home: Path, port: int) -> tuple[list[str], dict[str, str], str]:
    if name == MLFLOW:
        program = str(Path(sys.executable).parent / "mlflow")
        flags = ["--env-manager", "local", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
        return [program, "models", "serve", "-m", str(home / "peer"), *flags], path, "/ping"
    if name == BARE:
        flags = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
        server = [sys.executable, "-m", "uvicorn", "benchmarks.serving.bare:app"]
        return [*server, *flags], {"BENCH_ONNX": str(home / "peer.onnx")}, "/ping"
    program = str(Path(sys.executable).parent / "watchkeeper")
    return [program, "serve-model", "--home", str(home / "workspace"), "--port", str(port)], {}, "/readyz"


def _wait(process: subprocess.Popen[bytes], address: str, log: Path, timeout: float = 120) -> None:
    until = time.monotonic() + timeout
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{address} does not answer:\n{log.read_text(errors='replace')[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole session: MLflow leaves its server behind otherwise."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    except ProcessLookupError:
        pass


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
