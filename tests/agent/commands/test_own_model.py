"""A user's own model through the real program: each task, a broken column, a decision."""

from __future__ import annotations

import gc
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent import cli

# The end of the process closes the databases, and here it does not come between two commands.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SPEC = """
name: own
task: {task}
features:
  age: {{type: numeric}}
  fee: {{type: numeric}}
  plan: {{type: categorical}}
  autopay: {{type: boolean}}
  ticket: {{type: text}}
target: outcome
timestamp: at
window: 7d
"""


def rows(task: str) -> pd.DataFrame:
    """Three weeks with missing values; in the last one `fee` arrives in cents."""
    rng = np.random.default_rng(0)
    count = 900
    fee = rng.gamma(4, 12, count).round(2)
    fee[count * 2 // 3 :] *= 100
    risk = 0.05 * (fee - 48)
    answers: dict[str, Any] = {
        "binary": {"prediction": (risk > 0).astype(int), "score": (1 / (1 + np.exp(-risk))).round(4)},
        "multiclass": {"prediction": np.array(["low", "mid", "high"])[np.digitize(risk, [-1, 1])], "score": 0.7},
        "regression": {"prediction": risk},
    }
    return pd.DataFrame(
        {
            "prediction_id": [f"p{i}" for i in range(count)],
            "at": pd.date_range("2026-03-01", periods=count, freq="33min36s", tz="UTC"),
            "age": np.where(rng.random(count) < 0.1, np.nan, rng.normal(45, 12, count)),
            "fee": fee,
            "plan": pd.Series(rng.choice(["basic", "pro"], count)).where(rng.random(count) > 0.05),
            "autopay": rng.random(count) < 0.6,
            "ticket": rng.choice(["slow at home", "the bill is wrong", ""], count),
            **answers[task],
        }
    )


@pytest.mark.parametrize(
    ("task", "kind", "database"),
    [("binary", "csv", "sqlite"), ("multiclass", "parquet", "sqlite"), ("regression", "csv", "postgres")],
)
def test_a_broken_column_is_found_proposed_and_decided(
    task: str,
    kind: str,
    database: str,
    tmp_path: Path,
    registry_template: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*words: object, code: int = 0) -> Any:
        monkeypatch.setattr(sys, "argv", ["watchkeeper", *map(str, words), "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = json.loads(capsys.readouterr().out)
        assert ended.value.code == code, said
        return said

    home = tmp_path / "ws"
    monkeypatch.setenv("WATCHKEEPER_HOME", str(home))
    run("init", home)
    (home / "mlflow.db").write_bytes(registry_template.read_bytes())
    if database == "postgres":
        monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", request.getfixturevalue("postgres_url"))
        run("db", "upgrade")
    (tmp_path / "own.yaml").write_text(SPEC.format(task=task), encoding="utf-8")
    run("model", "add", tmp_path / "own.yaml")
    file = tmp_path / f"rows.{kind}"
    rows(task).to_csv(file, index=False) if kind == "csv" else rows(task).to_parquet(file, index=False)
    assert run("ingest", "own", file)["files"][0]["rows"] == 900
    assert run("ingest", "own", file)["files"][0]["duplicates"] == 900

    assert run("watch", "own", "--at", "2026-03-14")[0]["incident"] is None
    once = run("watch", "own", "--at", "2026-03-20")[0]
    assert once["diagnosis"]["causes"][0]["features"] == ["fee"], once
    assert once["proposal"]["action"] == "fix_data"

    wanted = once["proposal"]["id"]
    assert run("proposal", "show", wanted)["state"] == "pending", "a look at the past proposes what can be decided now"
    run("policy", "explain", wanted)
    assert run("reject", wanted, "--reason", "the feed is mended")["state"] == "rejected"
    run("approve", wanted, code=1)
    assert run("audit", "verify")["whole"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
