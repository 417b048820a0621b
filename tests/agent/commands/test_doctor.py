"""`watchkeeper doctor` looks at every part that the settings name, and says what cures it."""

from __future__ import annotations

from agent.commands.health import diagnose_workspace
from agent.settings import FILE


def checks(home):
    return {check["name"]: check for check in diagnose_workspace(home)["checks"]}


def test_a_cluster_is_looked_at_only_where_one_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("WATCHKEEPER_HOME")
    monkeypatch.setattr("ml.data.cluster.PATIENCE", 0.5)
    (tmp_path / FILE).write_text("", encoding="utf-8")
    assert "cluster" not in checks(tmp_path)
    (tmp_path / FILE).write_text("cluster: tcp://127.0.0.1:9\n", encoding="utf-8")
    found = checks(tmp_path)["cluster"]
    assert not found["ok"]
    assert found["exit_code"] == 3
    assert "tcp://127.0.0.1:9 cannot be reached" in found["says"]
    assert found["cure"] == "see WATCHKEEPER_CLUSTER"
