"""`token` and `silence`, as they are typed; what `mcp` refuses before it serves."""

from __future__ import annotations

import gc
import json
import sys
from datetime import timedelta

import pytest
from sqlalchemy import select

from agent import cli
from agent.pipeline import tokens
from agent.pipeline.silence import begin
from agent.store.tables import ApiToken, Proposal
from tools import actions

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def typed(bench, monkeypatch, capsys):
    """Type a command: its exit code and what it printed."""
    home = bench.services.home
    (home / "approvals.yaml").write_text("people: {ann: {}, ben: {}}\n")
    (home / "watchkeeper.yaml").write_text(f"database_url: {bench.services.store.url}\n")

    def type_in(*words, as_json=True):
        argv = ["watchkeeper", *words, "--home", str(home), *(["--json"] if as_json else [])]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        gc.collect()
        told = capsys.readouterr()
        return ended.value.code, json.loads(told.out) if as_json else told.out + told.err

    return type_in


def test_a_token_is_shown_once_kept_as_a_hash_listed_and_revoked(bench, typed):
    code, made = typed("token", "create", "night", "--propose", "--model", "ch*", "--expires", "30d", "--as", "ann")
    assert (code, made["scopes"], made["models"], made["person"]) == (0, ["read", "propose"], ["ch*"], "ann")
    assert made["audience"] == "http://127.0.0.1:8002/mcp"
    with bench.services.store.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert made["token"] not in json.dumps([str(getattr(row, column.key)) for column in ApiToken.__table__.columns])
        assert (row.expires_at - row.created_at).days == 30
    found = tokens.find(bench.services, made["token"])
    assert found is not None
    caller = tokens.caller_of(found)
    assert (caller.name, caller.may_propose, caller.through, caller.sees("churn"), caller.sees("bike")) == (
        "ann", True, made["id"], True, False,
    )  # fmt: skip
    code, listed = typed("token", "list")
    assert (code, [one["id"] for one in listed], "token" in listed[0]) == (0, [made["id"]], False)
    code, told = typed("token", "list", as_json=False)
    assert (code, made["id"] in told, made["token"] in told) == (0, True, False)
    code, ended = typed("token", "revoke", made["id"][:5], "--as", "ben")
    assert (code, ended["state"], ended["revoked_by"]) == (0, "revoked", "ben")
    assert tokens.find(bench.services, made["token"]) is None
    assert bench.events(made["id"]) == ["token created", "token revoked"]
    code, again = typed("token", "revoke", made["id"])
    assert (code, again["error"]["type"]) == (1, "Conflict")


SENSELESS = (
    (("x", "--expires", "10y"), "expires"),
    (("x", "--expires", "900d"), "366 days"),
    (("x", "--expires", "0"), "expires"),
    ((" ",), "name"),
    (("x", "--as", "watchkeeper"), "belongs to Watchkeeper"),
)


def test_a_token_that_makes_no_sense_is_not_made(typed, bench):
    for words, said in SENSELESS:
        code, found = typed("token", "create", *words)
        assert (words, code, said in found["error"]["message"]) == (words, 2, True)
    with bench.services.store.read() as session:
        assert session.scalars(select(ApiToken)).all() == []


def test_silences_are_listed_and_ended(bench, typed):
    assert typed("silence", "list") == (0, [])
    action = actions.Silence(model="churn", feature="age", until=bench.services.now() + timedelta(days=3650))
    wanted = bench.propose(action)
    with bench.services.store.write() as session:
        begin(session, action, session.get_one(Proposal, wanted), bench.clock())
    code, (one,) = typed("silence", "list")
    assert (code, one["model"], one["feature"], one["monitor"], one["reason"]) == (0, "churn", "age", None, "because")
    code, told = typed("silence", "list", as_json=False)
    assert (code, one["id"] in told) == (0, True)
    code, found = typed("silence", "end", one["id"], "--reason", "done", "--as", "eve")
    assert (code, found["error"]["type"]) == (1, "NotAllowed")
    code, found = typed("silence", "end", one["id"], "--reason", "done", "--as", "ben")
    assert (code, found["ended_by"]) == (0, "ben")
    assert typed("silence", "list") == (0, [])
    assert len(typed("silence", "list", "--all")[1]) == 1


def test_mcp_says_which_options_go_together(typed):
    for words in (("--port", "8003"), ("--http", "--as", "ann"), ("--http", "--read-only")):
        code, told = typed("mcp", *words, as_json=False)
        assert (words, code, "--http" in told) == (words, 2, True)
