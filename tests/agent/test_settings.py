"""Settings: where they come from, and what a relative address is relative to."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.errors import InvalidInput
from agent.settings import FILE, LLM, load_settings


def workspace(folder: Path, text: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(text, encoding="utf-8")
    return folder.resolve()


def test_files_of_a_workspace_are_in_it(tmp_path):
    home = workspace(tmp_path)
    found = load_settings({}, home=home)
    assert found.database_url == f"sqlite:///{home}/watchkeeper.db"
    assert found.mlflow_uri == f"sqlite:///{home}/mlflow.db"
    assert found.log_uri == f"{home}/log"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("data/log", "{home}/data/log"),
        ("/srv/log", "/srv/log"),
        ("s3://bucket/log", "s3://bucket/log"),
        ("file:///srv/log", "file:///srv/log"),
    ],
)
def test_a_relative_folder_belongs_to_the_workspace_wherever_the_command_runs(tmp_path, monkeypatch, given, meant):
    home = workspace(tmp_path / "home", f"log_uri: {given}\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, home=home).log_uri == meant.format(home=home)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:///state.db", "sqlite:///{home}/state.db"),
        ("sqlite:////srv/state.db", "sqlite:////srv/state.db"),
        ("postgresql+psycopg://db/watchkeeper", "postgresql+psycopg://db/watchkeeper"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_relative_databases_belong_to_the_workspace_too(tmp_path, monkeypatch, given, meant):
    home = workspace(tmp_path / "home", f"mlflow_uri: {given}\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, home=home).mlflow_uri == meant.format(home=home)
    assert load_settings({"WATCHKEEPER_DATABASE_URL": given}, home=home).database_url == meant.format(home=home)


def test_the_environment_wins_over_the_file(tmp_path):
    home = workspace(tmp_path, "bind: 127.0.0.1:1\n")
    assert load_settings({"WATCHKEEPER_BIND": "127.0.0.1:2"}, home=home).bind == "127.0.0.1:2"


def test_work_is_done_here_unless_a_cluster_is_named(tmp_path):
    home = workspace(tmp_path)
    assert load_settings({}, home=home).cluster == ""
    assert load_settings({"WATCHKEEPER_CLUSTER": "tcp://s:8786"}, home=home).cluster == "tcp://s:8786"


def test_the_home_is_the_folder_of_the_file(tmp_path):
    with pytest.raises(InvalidInput, match="`home` is the folder that this file is in"):
        load_settings({}, home=workspace(tmp_path, "home: /elsewhere\n"))


def test_an_unknown_setting_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="unknown setting 'databse_url'; known settings are database_url"):
        load_settings({}, home=workspace(tmp_path, "databse_url: x\n"))


def test_without_a_workspace_the_next_step_is_said(tmp_path):
    with pytest.raises(InvalidInput, match="watchkeeper init"):
        load_settings({}, cwd=tmp_path)


def test_the_language_model_is_chosen_by_the_environment_and_its_key_stays_hidden(tmp_path):
    home = workspace(tmp_path, "llm_deadline: 20\n")
    environ = {
        "WATCHKEEPER_LLM": "openai:small",
        "OPENAI_API_KEY": "sk-secret",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
    }
    found = load_settings(environ, home=home)
    assert (found.llm, found.llm_deadline) == ("openai:small", "20")
    assert (found.openai_api_key, found.openai_base_url) == ("sk-secret", "http://127.0.0.1:1")
    assert "sk-secret" not in repr(found)


def test_every_setting_of_the_language_model_is_explained():
    page = (Path(__file__).parents[2] / "docs/how-to/language-model.md").read_text(encoding="utf-8")
    assert [key for key in LLM if f"| `WATCHKEEPER_{key.upper()}` |" not in page] == []
