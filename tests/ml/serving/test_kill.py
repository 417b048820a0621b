"""`kill -9`, at random and at the worst moments: what was answered is in the log, once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ml.data.prediction_log import PredictionLog
from ml.serving.backlog import behind
from ml.serving.drain import Drain
from ml.serving.drain_process import DrainProcess, keep_spec
from ml.serving.journal import folders
from ml.spec import parse_spec

SPEC = parse_spec("{name: loans, task: binary, features: {income: {type: numeric}, region: {type: categorical}}}")
KILLS = int(os.environ.get("CHAOS_KILLS", "24"))
PROCESS = Path(__file__).with_name("answering_process.py")
REPOSITORY = Path(__file__).parents[3]


class Load:
    """Sends lines to a server process as fast as it answers, and remembers what was answered."""

    def __init__(self, root: Path, chance: random.Random, first: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESS), str(root), "20000"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        self.answered: list[int] = []
        self.sent = first
        self._chance = chance
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        try:
            while True:
                count = self._chance.choice([1, 1, 1, 3, 40])
                self.process.stdin.write(b"%d %d\n" % (self.sent, count))
                self.process.stdin.flush()
                self.sent += count
        except (BrokenPipeError, ValueError):
            return

    def _receive(self) -> None:
        for line in self.process.stdout:
            if line.endswith(b"\n"):
                first, count = map(int, line.split())
                self.answered += range(first, first + count)

    def kill(self, after: int) -> None:
        """Once so many rows were answered and a moment more has passed."""
        while len(self.answered) < after:
            assert self.process.poll() is None, "it ended by itself"
            time.sleep(0.001)
        time.sleep(self._chance.random() * 0.05)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for thread in self._threads:
            thread.join()
        self.process.stdout.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()


@pytest.fixture
def drain(tmp_path: Path) -> Iterator[DrainProcess]:
    keep_spec(tmp_path / "journal", SPEC)
    process = DrainProcess(tmp_path / "journal", str(tmp_path / "log"), pace=0.05)
    yield process
    process.stop()


@pytest.mark.timeout(900)
def test_nothing_answered_is_lost_and_nothing_stands_twice(tmp_path: Path, drain: DrainProcess) -> None:
    root, log, chance = tmp_path / "journal", PredictionLog(tmp_path / "log"), random.Random(4)
    answered: list[int] = []
    sent = 0
    for number in range(KILLS):
        drain.ensure()
        load = Load(root, chance, sent)
        load.kill(after=chance.choice([1, 200, 2000]))
        answered += load.answered
        sent = load.sent
        if number % 8 == 5:
            assert drain._process is not None
            with contextlib.suppress(ProcessLookupError):  # it may be between two lives
                os.kill(drain._process.pid, signal.SIGKILL)
            drain._process.join()
    drain.stop()
    Drain(root, log, {"loans": SPEC}.get).once()
    logged = log.read(SPEC, None, columns=["prediction_id", "income"])
    counted = Counter(logged["prediction_id"])
    assert max(counted.values()) == 1
    assert len(answered) > KILLS
    assert [k for k in answered if f"p{k}" not in counted] == []
    assert (logged["prediction_id"] == "p" + logged["income"].astype(int).astype(str)).all()
    shadow = log.read_shadow(SPEC, None)
    assert shadow["prediction_id"].is_unique
    assert len(shadow) > 0
    assert folders(root) == []
    assert behind(root) == 0
