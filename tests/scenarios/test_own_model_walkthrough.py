"""docs/how-to/own-model.md, followed to the letter: its files, its commands, in its order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HOW_TO = (Path(__file__).parents[2] / "docs/how-to/own-model.md").read_text(encoding="utf-8")
WATCHKEEPER = Path(sys.executable).parent / "watchkeeper"


def rentals(rows: int, start: str) -> pd.DataFrame:
    """Hours of rentals whose answers are right within a few bikes."""
    draw = np.random.default_rng(7)
    at = pd.date_range(start, periods=rows, freq="h", tz="UTC")
    temp = 10 + 10 * np.sin(np.arange(rows) / 24) + draw.normal(0, 2, rows)
    truth = 20 + 3 * temp + 2 * at.hour + draw.normal(0, 3, rows)
    return pd.DataFrame(
        {
            "prediction_id": [f"{moment:%Y%m%dT%H}" for moment in at],
            "at": at,
            "temp": temp,
            "humidity": draw.uniform(20, 95, rows),
            "hour": at.hour,
            "season": np.where(at.month < 3, "winter", "spring"),
            "workingday": at.dayofweek < 5,
            "prediction": truth + draw.normal(0, 2, rows),
            "model_version": "1",
            "rentals": truth,
        }
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The folder in which the reader of the how-to stands, with the files they have."""
    (tmp_path / "watch/models").mkdir(parents=True)
    (spec,) = re.findall(r"^```yaml\n(.+?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
    (tmp_path / "watch/models/bike-demand.yaml").write_text(spec)
    rentals(900, "2026-01-20").to_csv(tmp_path / "watch/history.csv", index=False)
    recent = rentals(500, "2026-03-01")
    recent.drop(columns="rentals").to_csv(tmp_path / "watch/predictions.csv", index=False)
    labels = recent[["prediction_id", "rentals"]].assign(label_timestamp=recent["at"] + pd.Timedelta("1h"))
    labels.to_csv(tmp_path / "watch/labels.csv", index=False)
    return tmp_path


def commands() -> list[str]:
    return [line for line in re.findall(r"^\$ (.+)$", HOW_TO, re.MULTILINE) if " ID" not in line]


@pytest.mark.timeout(900)  # a dozen processes, each importing its libraries anew
def test_every_command_of_the_how_to_works_in_its_order(workspace):
    folder, outputs = workspace, []
    environment = {name: value for name, value in os.environ.items() if name != "WATCHKEEPER_HOME"}
    for line in commands():
        program, *arguments = shlex.split(line)
        if program == "cd":
            folder = folder / arguments[0]
            continue
        assert program == "watchkeeper"
        done = subprocess.run(
            [WATCHKEEPER, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=180
        )
        outputs.append((line, done.returncode, done.stdout + done.stderr))
    assert [output for output in outputs if output[1] != 0] == []
    assert "Version 1 is trained and champion" in "".join(text for _, _, text in outputs)
