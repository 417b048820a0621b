"""Proposing through the tools: pinned parameters, whose right it is, the hourly bound, nothing else changed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.domain.errors import Conflict, NotAllowed
from agent.pipeline.requested import PER_CALLER, PER_MODEL, Requests
from agent.pipeline.tooling import tool_context
from agent.store import queries
from agent.store.tables import Base, Incident, Model, Proposal
from tools.actions import ActionKind, digest, parse_action
from tools.catalogue import call
from tools.context import Caller, Wanted

ANN = Caller("ann", "person", may_propose=True)
WHY = {"why": "accuracy fell, see i-1"}
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "propose_retrain": ({}, {"kind": "retrain", "expected_version": "2", "data_version": "p1.l1", "window_days": 10}),
    "propose_recalibrate": ({}, {"kind": "recalibrate", "expected_version": "2", "data_version": "p1.l1"}),
    "propose_rollback": ({"to_version": "1"}, {"kind": "rollback", "expected_version": "2", "to_version": "1"}),
    "propose_promote": ({"to_version": "1"}, {"kind": "promote", "expected_version": "2", "to_version": "1"}),
    "propose_refresh_reference": ({"since": "2d", "until": "1d"}, {"kind": "refresh_reference", "window_days": 1}),
    "propose_mark_data_unfit": (
        {"features": ["age", "age"], "since": "1d", "until": "now"},
        {"kind": "fix_data", "features": ["age"], "notify": "#feeds"},
    ),
    "propose_silence": (
        {"monitor": "drift", "feature": "age", "until": "24h"},
        {"kind": "silence", "monitor": "drift", "feature": "age", "until": "2026-03-02T12:00:00Z"},
    ),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_filed_is_exact_and_waits_for_a_person(lived_in: Any):
    for name, (given, expected) in ASKED.items():
        asks(lived_in, name, given, dict(expected), Caller(f"{name} by ann", may_propose=True))


def asks(bench: Any, name: str, given: dict[str, Any], expected: dict[str, Any], caller: Caller) -> None:
    before = totals(bench)
    result = call(name, {"model": "churn", **given, **WHY}, tool_context(bench.services, caller))
    assert result.message == ""
    made = result.data["proposal"]
    assert (made["state"], made["requested_by"]) == ("pending", caller.name)
    assert result.evidence == (made["id"],)
    row = bench.proposal(made["id"])
    action = parse_action(row.action)
    assert (row.digest, made["digest"]) == (digest(action), digest(action))
    assert row.why == WHY["why"]
    assert row.incident_id is None
    days = expected.pop("window_days", None)
    if days is not None:
        assert action.window_end - action.window_start == timedelta(days=days)
    plain = action.model_dump(mode="json")
    assert {key: plain[key] for key in expected} == expected
    assert bench.events(row.id) == ["proposal pending", "proposal requested"]
    assert {t for t, n in totals(bench).items() if n != before[t]} == {"proposal", "audit", "outbox"}
    again = call(name, {"model": "churn", **given, **WHY}, tool_context(bench.services, caller))
    assert row.id in again.message


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("propose_rollback", {"to_version": "7"}, "no version '7'; it has 1, 2"),
    ("propose_rollback", {"to_version": "2"}, "is the champion already"),
    ("propose_promote", {"to_version": "champion"}, "no version 'champion'"),
    ("propose_refresh_reference", {"since": "90d", "until": "80d"}, "has no rows"),
    ("propose_refresh_reference", {"since": "1d", "until": "2d"}, "not before"),
    ("propose_refresh_reference", {"since": "1d", "until": "2027-01-01"}, "still to come"),
    ("propose_mark_data_unfit", {"features": ["heart"], "since": "1d", "until": "now"}, "no feature 'heart'"),
    ("propose_mark_data_unfit", {"features": [], "since": "1d", "until": "now"}, "features"),
    ("propose_silence", {"until": "2020-01-01"}, "still to come"),
    ("propose_silence", {"until": "365d"}, "30 days at most"),
    ("propose_silence", {"until": "1d", "monitor": "everything"}, "write a family"),
    ("propose_silence", {"until": "1d", "feature": "heart"}, "no feature"),
    ("propose_retrain", {"why": "   "}, "why"),
    ("propose_retrain", {"model": "other"}, "no model 'other'"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_makes_no_sense_is_refused_with_the_reason_and_files_nothing(lived_in: Any):
    before = totals(lived_in)
    context = tool_context(lived_in.services, ANN)
    for name, given, said in REFUSED:
        result = call(name, {"model": "churn", **WHY, **given}, context)
        assert said in result.message, (name, given, result.message)
    assert totals(lived_in) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_version_that_never_answered_is_no_rollback(bench: Any):
    bench.add_versions(False, True)
    result = call("propose_rollback", {"model": "churn", "to_version": "2", **WHY}, tool_context(bench.services, ANN))
    assert "has never answered; propose to promote it" in result.message
    result = call("propose_retrain", {"model": "churn", **WHY}, tool_context(bench.services, ANN))
    assert "0 labelled rows in its window of training; 50 are needed" in result.message


def test_the_bound_holds_for_a_model_and_for_all_whatever_is_asked(bench: Any):
    with bench.services.store.write() as session:
        text = session.get_one(Model, "churn").spec
        for number in range(6):
            name = f"m{number}"
            session.add(
                Model(name=name, spec=text.replace("name: churn", f"name: {name}"), registered_at=bench.clock())
            )
    kinds: list[tuple[str, dict[str, object]]] = [("propose_silence", {"until": "24h"})]
    kinds += [("propose_mark_data_unfit", {"features": ["age"], "since": "2d", "until": "1d"})]
    filed = 0
    context = tool_context(bench.services, ANN)
    for model in ["churn", *(f"m{n}" for n in range(6))]:
        for _ in range(3):
            for name, given in kinds:
                result = call(name, {"model": model, **given, **WHY}, context)
                filed += result.status == "ok"
                for one in result.data.values():
                    withdraw(bench, one["id"])
    assert filed == PER_CALLER
    with bench.services.store.read() as session:
        counts = dict(session.execute(select(Proposal.model, func.count()).group_by(Proposal.model)).all())
    assert counts["churn"] == PER_MODEL
    assert max(counts.values()) == PER_MODEL
    assert "that is the most" in call("propose_silence", {"model": "m5", "until": "1d", **WHY}, context).message
    other = tool_context(bench.services, Caller("ben", may_propose=True))
    assert call("propose_silence", {"model": "m5", "until": "1d", **WHY}, other).status == "ok"
    bench.clock.advance("61m")
    assert (
        call("propose_silence", {"model": "m4", "until": "1d", **WHY}, tool_context(bench.services, ANN)).status == "ok"
    )


def test_at_the_same_moment_no_more_than_the_bound(bench: Any):
    """Twelve callers at once in one name: never more than the bound, and one at most of a kind."""
    sink, started, said = Requests(bench.services), threading.Barrier(12), []
    now = bench.clock()
    each = [Wanted(ActionKind.SILENCE, "churn", until=now + timedelta(hours=1 + n)) for n in range(6)]
    each += [
        Wanted(ActionKind.FIX_DATA, "churn", features=("age",), since=now - timedelta(days=2 + n), until=now)
        for n in range(6)
    ]

    def ask(wanted: Wanted) -> None:
        started.wait()
        try:
            sink.propose(wanted, "why", ANN)
        except Conflict as error:
            said.append(str(error))

    threads = [threading.Thread(target=ask, args=(wanted,)) for wanted in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with bench.services.store.read() as session:
        kinds = sorted(session.scalars(select(Proposal.kind)))
    assert kinds == ["fix_data", "silence"]
    assert len(said) == 10


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["watchkeeper", "Policy ", "", "clock"])
def test_nobody_proposes_in_our_own_name_or_without_the_right(name: str, bench: Any):
    wanted = Wanted(ActionKind.SILENCE, "churn", until=bench.clock() + timedelta(days=1))
    with pytest.raises(NotAllowed):
        Requests(bench.services).propose(wanted, "why", Caller(name, may_propose=True))
    with pytest.raises(NotAllowed, match="may read"):
        Requests(bench.services).propose(wanted, "why", Caller("ann", may_propose=False))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_incident_does_not_move_by_what_is_asked_for(bench: Any):
    bench.add_versions(False)
    with bench.services.store.write() as session:
        session.add(Incident(model="churn", state="diagnosed", severity="critical", title="t", opened_at=bench.clock()))
    assert (
        call("propose_silence", {"model": "churn", "until": "1d", **WHY}, tool_context(bench.services, ANN)).message
        == ""
    )
    with bench.services.store.read() as session:
        incident = queries.unresolved_incident(session, "churn")
        assert incident is not None
        assert incident.state == "diagnosed"


def totals(bench: Any) -> dict[str, int]:
    with bench.services.store.read() as session:
        return {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables}


def withdraw(bench: Any, wanted: str) -> None:
    with bench.services.store.write() as session:
        session.get_one(Proposal, wanted).state = "withdrawn"
