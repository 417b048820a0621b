"""What is wrong in what was given is said in one sentence with the next step; nothing is half-written."""

from __future__ import annotations

import gc
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from agent import cli

# The end of the process closes the databases, and here it does not come between two commands.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

SPEC = """
name: churn
task: binary
features:
  age: {type: numeric}
  plan: {type: categorical}
  autopay: {type: boolean}
target: churned
timestamp: at
trainer: sklearn:LogisticRegression
window: 7d
"""
DAY = pd.Timestamp("2026-03-01", tz="UTC")
Run = Callable[..., tuple[int, str]]


def table(**changed: object) -> pd.DataFrame:
    """Sixty predictions over ten days; `changed` replaces columns."""
    count = 60
    frame = {
        "prediction_id": [f"p{i}" for i in range(count)],
        "at": [(DAY + pd.Timedelta(hours=4 * i)).isoformat() for i in range(count)],
        "age": [float(20 + i) for i in range(count)],
        "plan": ["a", "b"] * (count // 2),
        "autopay": ["true", "false"] * (count // 2),
        "prediction": ["0", "1"] * (count // 2),
        "score": [0.3, 0.8] * (count // 2),
    }
    return pd.DataFrame({**frame, **changed})


def first(column: str, value: object) -> pd.DataFrame:
    """The table with one wrong value, in the fourth row."""
    frame = table()
    return frame.assign(**{column: [value if number == 3 else old for number, old in enumerate(frame[column])]})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the program as a person types it: the exit code, and what it said."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["watchkeeper", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, (said.out + said.err).strip()

    yield call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def workspace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry_template: Path) -> Path:
    """A workspace with one model that nobody has fed yet."""
    home = tmp_path / "ws"
    monkeypatch.setenv("WATCHKEEPER_HOME", str(home))
    assert run("init", home)[0] == 0
    (home / "mlflow.db").write_bytes(registry_template.read_bytes())
    (home / "churn.yaml").write_text(SPEC, encoding="utf-8")
    assert run("model", "add", home / "churn.yaml")[0] == 0
    return home


def sentence(answer: tuple[int, str], code: int, *words: str) -> None:
    """One line with these words and this exit code, and no trace of our insides."""
    assert answer[0] == code, answer
    assert "\n" not in answer[1], answer
    assert "Traceback" not in answer[1]
    assert "should not have" not in answer[1]
    for word in words:
        assert word in answer[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SPEC.replace("window:", "windows:"), ("spec.yaml:11", "windows", "did you mean 'window'?")),
        (SPEC.replace("binary", "binnary"), ("spec.yaml:3", "task")),
        (SPEC.replace("7d", "7 bananas"), ("spec.yaml:11", "window", "bananas")),
        ("", ("spec.yaml", "is empty", "models/example.yaml")),
        ("- a", ("spec.yaml", "a list", "models/example.yaml")),
        ("name: [", ("spec.yaml", "not valid YAML")),
    ],
)
def test_a_wrong_spec_is_named_and_not_registered(
    run: Run, workspace: Path, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "spec.yaml").write_text(text.replace("name: churn", "name: other"), encoding="utf-8")
    sentence(run("model", "add", tmp_path / "spec.yaml"), 2, *words)
    assert [model["model"] for model in json.loads(run("model", "list", "--json")[1])] == ["churn"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table().drop(columns="age"), ("'age' is missing", "churn")),
        (first("at", "31/31/2026"), ("'at', row 4", "2026-01-31T08:00:00Z")),
        (first("at", ""), ("'at', row 4", "is empty")),
        (first("age", "abc"), ("'age', row 4", "'abc' is not a number")),
        (first("prediction_id", "p0"), ("prediction ids", "'p0'", "row 4")),
        (table().iloc[:0], ("no rows",)),
    ],
)
def test_a_wrong_table_is_named_and_nothing_of_the_command_is_written(
    run: Run, workspace: Path, tmp_path: Path, frame: pd.DataFrame, words: tuple[str, ...]
) -> None:
    table(prediction_id=[f"good{i}" for i in range(60)]).to_csv(tmp_path / "good.csv", index=False)
    frame.to_csv(tmp_path / "wrong.csv", index=False)
    sentence(run("ingest", "churn", tmp_path / "good.csv", tmp_path / "wrong.csv"), 2, "wrong.csv", *words)
    assert not (workspace / "log").exists()


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet", "corrupt.parquet", "folder.csv", "missing.csv"])
def test_a_file_that_is_no_table_is_named(run: Run, workspace: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "empty.parquet").touch()
    table().to_parquet(tmp_path / "whole.parquet")
    (tmp_path / "corrupt.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:500])
    (tmp_path / "folder.csv").mkdir()
    sentence(run("ingest", "churn", tmp_path / name), 2, name)
    assert not (workspace / "log").exists()


def test_nan_infinity_and_a_new_category_are_data_and_early_labels_wait(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    odd = first("age", "inf")
    odd.loc[4, ["age", "plan"]] = ["NaN", "never seen"]
    odd.to_csv(tmp_path / "odd.csv", index=False)
    assert run("ingest", "churn", tmp_path / "odd.csv")[0] == 0
    (tmp_path / "labels.csv").write_text("prediction_id,churned\np1,1\nzzz,0\n", encoding="utf-8")
    code, said = run("ingest", "churn", "--labels", tmp_path / "labels.csv")
    assert (code, "1 are for predictions not seen yet (first: zzz)" in said) == (0, True)
    assert "count as known from" in said
    assert "label_timestamp" in said


def test_a_file_of_nothing_but_unknown_labels_is_refused_and_nothing_is_kept(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    table().to_csv(tmp_path / "rows.csv", index=False)
    run("ingest", "churn", tmp_path / "rows.csv")
    (tmp_path / "labels.csv").write_text("prediction_id,churned\nx1,1\nx2,0\n", encoding="utf-8")
    sentence(
        run("ingest", "churn", "--labels", tmp_path / "labels.csv"), 2, "none of its 2 labels", "'x1'", "ingest the"
    )
    assert not (workspace / "log" / "churn" / "labels").exists()


@pytest.mark.parametrize("time", ["yesterday", "", "2026-13-01", "9999-12-31", "0001-01-01", "2020-01-01"])
def test_a_time_without_predictions_is_refused(run: Run, workspace: Path, tmp_path: Path, time: str) -> None:
    sentence(run("watch", "churn"), 2, "'churn'", "watchkeeper ingest churn FILE")
    table().to_csv(tmp_path / "rows.csv", index=False)
    run("ingest", "churn", tmp_path / "rows.csv")
    sentence(run("watch", "churn", "--at", time), 2)
    assert json.loads(run("model", "list", "--json")[1])[0]["last_look"] is None


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("model", "show", "nope"), 1),
        (("watch", "nope"), 1),
        (("incident", "show", "nope"), 1),
        (("proposal", "show", "nope"), 1),
        (("policy", "explain", "nope"), 1),
        (("approve", "nope"), 1),
        (("reject", "nope", "--reason", "no"), 1),
        (("reject", "nope"), 2),
        (("report", "--model", "nope"), 1),
        (("no-such-command",), 2),
    ],
)
def test_what_does_not_exist_is_named_also_as_json(
    run: Run, workspace: Path, command: tuple[str, ...], code: int
) -> None:
    sentence(run(*command), code)
    answered, said = run(*command, "--json")
    error = json.loads(said)["error"]
    assert (answered, error["exit_code"]) == (code, code)


def test_an_mlflow_that_is_down_leaves_the_model_unregistered(
    run: Run, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.yaml").write_text(SPEC.replace("name: churn", "name: other"), encoding="utf-8")
    table(churned=["0", "1"] * 30).to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.setenv("WATCHKEEPER_MLFLOW_URI", "http://127.0.0.1:1")
    answer = run("model", "add", tmp_path / "other.yaml", "--train", tmp_path / "rows.csv")
    sentence(answer, 3, "http://127.0.0.1:1 cannot be reached", "WATCHKEEPER_MLFLOW_URI")
    monkeypatch.delenv("WATCHKEEPER_MLFLOW_URI")
    assert [model["model"] for model in json.loads(run("model", "list", "--json")[1])] == ["churn"]


def test_a_folder_that_cannot_be_made_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "ws", Path("/proc/watchkeeper")):
        sentence(run("init", place), 3, str(place), "choose another folder")
    sentence(run("model", "list", "--home", tmp_path / "file"), 2, "watchkeeper init")


@pytest.mark.parametrize(
    ("address", "code", "word"),
    [
        ("nonsense", 2, "is not a database address"),
        ("postgresql://me:secret@127.0.0.1:1/none", 3, "WATCHKEEPER_DATABASE_URL"),
        ("sqlite:////proc/watchkeeper/x.db", 3, "cannot be made"),
        ("sqlite:///{here}/text.db", 3, "file is not a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    run: Run, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, code: int, word: str
) -> None:
    (tmp_path / "text.db").write_text("no database at all, only text\n" * 40, encoding="utf-8")
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", address.format(here=tmp_path))
    answer = run("model", "list")
    sentence(answer, code, word)
    assert "secret" not in answer[1]


def test_a_database_one_migration_behind_says_what_to_run(
    run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("WATCHKEEPER_DATABASE_URL", database_url)
    sentence(run("model", "list"), 3, "has no tables yet", "watchkeeper db upgrade")
    assert run("db", "upgrade")[0] == 0
    assert run("model", "list")[0] == 0
