"""The commands of those who decide, as they are typed; on both databases. A warning of an open database is an error."""

from __future__ import annotations

import gc
import json
import sys

import pytest
from sqlalchemy import text, update

from agent import cli
from agent.store import queries
from agent.store.tables import AuditEvent
from tests.agent.store.tampering import drop_triggers
from tools import actions

POLICY = """
people:
  ann: {}
  ben: {}
  cat: {roles: [viewer]}
risk:
  low: {approvals: 2, reason: true}
"""


@pytest.fixture
def wanted(bench):
    """A repair that waits, in a workspace that the command line can open."""
    home, now = bench.services.home, bench.clock()
    (home / "approvals.yaml").write_text(POLICY)
    (home / "watchkeeper.yaml").write_text(
        f"database_url: {bench.services.store.url}\nmlflow_uri: sqlite:///{home / 'mlflow.db'}\n"
    )
    with bench.services.store.write() as session:
        queries.control(session).replayed_now = now
    return bench.propose(
        actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now), incident=True
    )


@pytest.fixture
def typed(bench, monkeypatch, capsys):
    """Type a command: its exit code and what it printed; closes what it opened."""

    def type_in(*words, as_json=True):
        argv = ["watchkeeper", *words, "--home", str(bench.services.home), *(["--json"] if as_json else [])]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        gc.collect()
        told = capsys.readouterr()
        return ended.value.code, json.loads(told.out) if as_json else told.out + told.err

    return type_in


def test_a_quorum_by_the_command_line(wanted, typed):
    code, found = typed("policy", "explain", wanted)
    assert (code, found["still_needed"], found["who_can_still"]) == (0, 2, ["ann", "ben"])
    code, found = typed("policy", "explain", wanted, "--as", "cat")
    assert (code, found["people"]["cat"]["allowed"]) == (0, False)
    code, found = typed("approve", wanted, "--as", "cat")
    assert (code, found["error"]["type"]) == (1, "NotAllowed")
    code, found = typed("approve", wanted, "--as", "ann")
    assert (code, "must give a --reason" in found["error"]["message"]) == (2, True)
    for _ in range(2):
        code, found = typed("approve", wanted, "--as", "ann", "--reason", "seen it")
        assert (code, found["state"], found["still_needed"]) == (0, "pending", 1)
    assert "1 more approval(s) needed; who can: ben." in typed("policy", "explain", wanted, as_json=False)[1]
    code, found = typed("approve", wanted[:6], "--as", "ben", "--reason", "so have I")
    assert (code, found["state"]) == (0, "approved")
    code, found = typed("withdraw", wanted, "--as", "ben", "--reason", "no")
    assert (code, "watchkeeper cancel" in found["error"]["message"]) == (1, True)


def test_the_kill_switch_by_the_command_line(wanted, typed):
    assert typed("freeze", "--reason", "fire", "--as", "anyone", as_json=False) == (
        0,
        "Frozen: no execution starts anywhere.\nTo lift it takes 2 people: watchkeeper unfreeze --reason …\n",
    )
    code, found = typed("unfreeze", "--reason", "out", "--as", "ann")
    assert (code, found["frozen"], found["who_can_still"]) == (0, True, ["ben"])
    assert typed("unfreeze", "--as", "cat")[0] == 1
    code, found = typed("unfreeze", "--as", "ben")
    assert (code, found["frozen"], found["says"]) == (0, False, "Executions start again.")
    assert typed("unfreeze", "--as", "ben")[0] == 1


def test_the_record_is_exported_compared_and_found_out(bench, wanted, typed, tmp_path):
    kept = tmp_path / "kept.jsonl"
    code, found = typed("audit", "export", str(kept))
    assert (code, found["events"], len(kept.read_text().splitlines())) == (0, 2, 2)
    assert typed("audit", "export", str(kept))[0] == 2, "an export is never written over"
    typed("reject", wanted, "--as", "ann", "--reason", "no")
    code, found = typed("audit", "verify", "--against", str(kept))
    assert (code, found["whole"], found["events"], found["compared_with_export"]) == (0, True, 5, 2)
    with bench.services.store.write() as session:
        drop_triggers(session)
        session.execute(update(AuditEvent).where(AuditEvent.seq.in_((2, 4))).values(actor="eve"))
    code, found = typed("audit", "verify")
    assert (code, [fault["seq"] for fault in found["faults"]]) == (1, [2, 4])
    told = typed("audit", "verify", as_json=False)[1]
    assert "Broken in 2 place(s)" in told
    assert "event 4 was changed after it was written" in told
    with bench.services.store.write() as session:
        session.execute(text("DELETE FROM audit WHERE seq = 1"))
    assert "event 1 is missing" in typed("audit", "verify", "--against", str(kept), as_json=False)[1]
    kept.write_text(kept.read_text().replace("churn", "other"))
    code, found = typed("audit", "verify", "--against", str(kept))
    assert (code, "was changed after it was written" in found["error"]["message"]) == (2, True)
    assert typed("audit", "verify", "--against", str(tmp_path / "none"))[0] == 2


def test_a_policy_that_is_wrong_is_refused_with_its_line(bench, wanted, typed):
    (bench.services.home / "approvals.yaml").write_text(POLICY + "freeze: []\n")
    code, found = typed("approve", wanted, "--as", "ann", "--reason", "x")
    assert code == 2
    assert "approvals.yaml:8: freeze: unknown key; did you mean 'freezes'?" in found["error"]["message"]
    assert bench.proposal(wanted).state == "pending"
