"""Training in a process of its own: it says what it is at, ends when it must, and changes nothing however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.domain.errors import Refused
from agent.pipeline.apart import LOG, train_apart
from ml.models.candidate import Numbers
from ml.models.registry import MODEL_PATH, REFERENCE_PATH
from ml.spec import ModelSpec, parse_spec

TRAINER = """
import os, signal, sys, time
from pathlib import Path
from sklearn.linear_model import LogisticRegression

def good(features, label, spec):
    print("the trainer speaks", flush=True)
    return LogisticRegression().fit(features, label)

def slow(features, label, spec):
    Path("PIDFILE").write_text(str(os.getpid()))
    time.sleep(600)

def killed(features, label, spec):
    os.kill(os.getpid(), signal.SIGKILL)

def failing(features, label, spec):
    raise RuntimeError("no GPU here")

def leaving(features, label, spec):
    os._exit(7)

def nosy(features, label, spec):
    raise RuntimeError(str(sorted(k for k in os.environ if k in ("SLACK_BOT_TOKEN", "PATH"))))
"""


@pytest.fixture
def pid_file(tmp_path, monkeypatch) -> Path:
    """Where the slow trainer says who it is; the trainers' module can be imported."""
    found = tmp_path / "pid"
    (tmp_path / "apart_trainers.py").write_text(TRAINER.replace("PIDFILE", str(found)))
    monkeypatch.syspath_prepend(str(tmp_path))
    return found


def spec_of(trainer: str) -> ModelSpec:
    return parse_spec(
        f"name: m\ntask: binary\nfeatures:\n  x: {{type: numeric}}\ntrainer: apart_trainers:{trainer}\n"
        "training: {min_labels: 50}\n"
    )


def some_rows(count: int = 200) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=count)
    when = pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC")
    return pd.DataFrame({"timestamp": when, "x": x, "label": (x > 0).astype(int)})


def train(folder, trainer, *, limit=timedelta(minutes=2), stopped=lambda: None, progress=lambda phase: None, **more):
    return train_apart(
        spec_of(trainer), some_rows(), folder, limit=limit, stopped=stopped, progress=progress, **more
    )  # fmt: skip


def test_a_candidate_is_left_with_its_numbers_its_phases_and_its_log(tmp_path, pid_file):
    phases: list[str] = []
    made = train(tmp_path / "job", "good", progress=phases.append)
    assert (made / MODEL_PATH / "MLmodel").is_file()
    assert len(pd.read_parquet(made / REFERENCE_PATH)) == 50
    assert Numbers.read(made).metrics["accuracy"] > 0.9
    assert "the trainer speaks" in (tmp_path / "job" / LOG).read_text()
    assert phases
    assert set(phases) <= {
        "reading the rows", "fitting on 150 rows", "measuring on 50 later rows", "writing the model",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("failing", "RuntimeError: no GPU here"),
        ("killed", r"was killed by SIGKILL \(out of memory\?\)"),
        ("leaving", "ended with exit code 7"),
    ],
)
def test_a_trainer_that_fails_is_refused_with_its_reason_and_the_place_of_its_log(tmp_path, pid_file, trainer, said):
    with pytest.raises(Refused, match=rf"{said}.* Its log: .*training\.log"):
        train(tmp_path / "job", trainer)


def test_past_its_time_limit_it_is_ended(tmp_path, pid_file):
    with pytest.raises(Refused, match=r"ran past training\.time_limit \(6s\)"):
        train(tmp_path / "job", "slow", limit=timedelta(seconds=6))
    if pid_file.exists():  # a busy machine may not have come so far
        assert_ended(pid_file)


def test_it_is_ended_when_it_is_told_to_stop(tmp_path, pid_file):
    def stopped():
        return Refused("cancelled by ann") if pid_file.exists() else None

    with pytest.raises(Refused, match="cancelled by ann"):
        train(tmp_path / "job", "slow", stopped=stopped)
    assert_ended(pid_file)


def test_keys_of_ours_can_be_kept_from_a_trainer(tmp_path, pid_file, monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    with pytest.raises(Refused, match=r"\['PATH', 'SLACK_BOT_TOKEN'\]"):
        train(tmp_path / "all", "nosy")
    with pytest.raises(Refused, match=r"\['PATH'\]"):
        train(tmp_path / "some", "nosy", environment={"PATH": os.environ["PATH"]})


def test_it_ends_with_the_worker_that_started_it(tmp_path, pid_file):
    worker = tmp_path / "worker.py"
    worker.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path[:] = {sys.path!r}
        from datetime import timedelta
        from pathlib import Path
        import pandas as pd
        from agent.pipeline.apart import train_apart
        from ml.spec import ModelSpec
        spec = ModelSpec.model_validate_json({spec_of("slow").model_dump_json()!r})
        train_apart(spec, pd.read_parquet({str(tmp_path / "rows.parquet")!r}), Path({str(tmp_path / "job")!r}),
                    limit=timedelta(hours=1), stopped=lambda: None, progress=print)
        """)
    )
    some_rows().to_parquet(tmp_path / "rows.parquet")
    with subprocess.Popen([sys.executable, str(worker)], stdout=subprocess.DEVNULL) as parent:
        _until(pid_file.exists)
        parent.send_signal(signal.SIGKILL)
    assert_ended(pid_file)


def assert_ended(pid_file: Path) -> None:
    pid = int(pid_file.read_text())
    _until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _until(true, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
