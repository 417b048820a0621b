"""docs/how-to/diagnose.md, followed to the letter: its spec, its command, its notebook."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent import cli

HOW_TO = (Path(__file__).parents[2] / "docs/how-to/diagnose.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.+?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
    return found


def loans(n: int, seed: int, start: str) -> pd.DataFrame:
    """Loans whose answers are good, from two branches."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=n, freq="20min", tz="UTC")
    income, debt = rng.lognormal(10.3, 0.4, n), rng.gamma(3, 2000, n)
    p = 1 / (1 + np.exp(-2 * (np.log(income) - 10.3) / 0.4 + debt / 6000 - 1))
    return pd.DataFrame(
        {
            "timestamp": times,
            "income": income,
            "debt": debt,
            "branch": rng.choice(["north", "south"], n),
            "note": rng.choice(["pays in time", "asked for more time", "new customer"], n),
            "opened": times - pd.to_timedelta(rng.integers(1, 900, n), unit="D"),
            "prediction": (p > 0.5).astype(int),
            "score": p,
            "label": (rng.random(n) < p).astype(int),
            "model_version": "1",
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader stands, with the files they have: incomes of one branch arrive in thousands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loans.yaml").write_text(block("yaml"), encoding="utf-8")
    loans(800, 1, "2026-01-01").to_csv("reference.csv", index=False)
    current = loans(500, 2, "2026-02-01")
    current.loc[(current["branch"] == "south") & (current.index >= 150), "income"] /= 1000
    current.to_csv("current.csv", index=False)
    return tmp_path


def test_the_command_names_the_fault_and_draws_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (command,) = re.findall(r"^\$ watchkeeper (.+)$", HOW_TO, re.MULTILINE)
    monkeypatch.setattr(sys, "argv", ["watchkeeper", *shlex.split(command), "--json"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["action"]["kind"] == "fix_data"
    assert answer["causes"][0]["features"] == ["income"]
    assert {path.stem for path in (folder / "plots").iterdir()} >= {"quality", "drift"}


def test_the_notebook_runs(folder: Path):
    out = StringIO()
    with redirect_stdout(out):
        exec(compile(block("python"), "diagnose.md", "exec"), {})

    assert "data_pipeline_fault" in out.getvalue()
    assert "not checked: the model itself" in out.getvalue()
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
