"""docs/how-to/serve-model.md, followed to the letter: its requests are sent to a server that its commands started."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from agent.cli import app
from agent.domain.errors import InvalidInput

DOCS = Path(__file__).parents[2] / "docs/how-to"
PAGE = (DOCS / "serve-model.md").read_text(encoding="utf-8")
SPEC = re.findall(r"^```yaml\n(.+?)^```", (DOCS / "own-model.md").read_text(), re.MULTILINE | re.DOTALL)[0]
WATCHKEEPER = str(Path(sys.executable).parent / "watchkeeper")


@dataclass
class Shown:
    """A request of the page, and the answer that the page shows under it."""

    path: str
    headers: dict[str, str]
    body: bytes | None
    answer: dict[str, object] | None


def shown() -> list[Shown]:
    found = []
    for line, answer in re.findall(r"^\$ curl (.+)\n(\{.+\})?", PAGE, re.MULTILINE):
        address, *rest = [word.removeprefix("$") for word in shlex.split(re.sub(r"\$'(.*?)'", r'"$\1"', line))]
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        text = options.get("-d") or options.get("--data-binary")
        if text is not None and "--data-binary" in options:
            text = ast.literal_eval(f"'{text}'")  # $'…' of the shell
        name, _, value = options.get("-H", "").partition(": ")
        found.append(
            Shown(
                "/" + address.partition("/")[2],
                {name: value} if name else {},
                text.encode() if text else None,
                json.loads(answer) if answer else None,
            )
        )
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bikes")
    (folder / "models").mkdir()
    (folder / "models/bike-demand.yaml").write_text(SPEC)
    draw, rows = np.random.default_rng(7), 600
    at = pd.date_range("2026-01-20", periods=rows, freq="h", tz="UTC")
    temp = draw.normal(10, 8, rows)
    history = pd.DataFrame(
        {
            "at": at,
            "temp": temp,
            "humidity": draw.uniform(20, 95, rows),
            "hour": at.hour,
            "season": draw.choice(["winter", "summer"], rows),
            "workingday": at.dayofweek < 5,
            "rentals": 20 + 3 * temp + 2 * at.hour,
        }
    )
    history.to_csv(folder / "history.csv", index=False)
    run(folder, "init", ".")
    run(folder, "model", "add", "models/bike-demand.yaml", "--train", "history.csv")
    return folder


def environment(**settings: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name != "WATCHKEEPER_HOME"} | settings


def run(folder: Path, *arguments: str) -> None:
    subprocess.run(
        [WATCHKEEPER, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=90, check=True
    )


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[httpx.Client]:
    process = subprocess.Popen(
        [WATCHKEEPER, "serve-model", "--port", "0"],
        cwd=workspace,
        env=environment(PYTHONUNBUFFERED="1", COLUMNS="200"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.findall(r"http://[\d.]+:\d+", said)[0]
        with httpx.Client(base_url=address, timeout=30) as client:
            until = time.monotonic() + 90
            while client.get("/readyz").status_code != 200:
                assert time.monotonic() < until, client.get("/readyz").text
                time.sleep(0.1)
            yield client
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()


@pytest.mark.timeout(300)
def test_every_request_of_the_page_is_answered_as_it_shows(server: httpx.Client) -> None:
    requests = shown()
    assert len(requests) == 10
    for request in requests:
        method = "GET" if request.body is None else "POST"
        for _ in range(5):
            answer = server.request(method, request.path, content=request.body, headers=request.headers)
            if answer.status_code not in (503, 504):
                break  # else what explains is still starting: on a busy machine the first question is told so
        expected = 400 if request.answer and request.answer.get("status") == 400 else 200
        expected = 202 if request.path.endswith(("/labels", "/jobs")) else expected
        assert answer.status_code == expected, (request.path, answer.text)
        if request.answer is not None:
            assert shape(request.answer).items() <= shape(answer.json()).items()


def shape(document: dict[str, object]) -> dict[str, str]:
    """What an answer is made of, without the values that a model and a clock decide."""
    said = {name: str(document[name]) for name in ("id", "type", "detail", "accepted") if name in document}
    if said.get("id", "").startswith("01"):
        del said["id"]  # made by the server
    return {name: type(value).__name__ for name, value in document.items()} | said


def test_every_option_of_the_command_is_on_the_page() -> None:
    command = get_command(app).commands["serve-model"]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE)) == options - {"--home"}


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"SERVE_BIND": "0.0.0.0:0"}, [], "WATCHKEEPER_SERVE_TOKEN"),
        ({"SERVE_BIND": "0.0.0.0:0", "SERVE_TOKEN": "short"}, [], "can be guessed"),
        ({"SERVE_RATE": "fast"}, [], "serve_rate"),
        ({}, ["--model", "nobody"], "no such model"),
        ({}, ["--workers", "0"], "--workers"),
        ({}, ["--memory", "1"], "--memory"),
        ({}, ["--journal", "1"], "--journal"),
        ({}, ["--when-full", "wait"], "--when-full"),
    ],
)
def test_a_start_that_is_not_safe_or_makes_no_sense_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], options: list[str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"WATCHKEEPER_{name}", value)
    with pytest.raises(InvalidInput, match=said):
        app(["serve-model", "--port", "0", "--home", str(workspace), *options], standalone_mode=False)
