"""One field changed after approval: never runs. Every column and every path of the stored rows, on both databases."""

from __future__ import annotations

import copy
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from agent import executor
from agent.domain.errors import Conflict
from agent.domain.policy import Rule
from agent.pipeline import release
from agent.pipeline.approve import approve
from agent.pipeline.propose import file_proposal
from agent.store.tables import Approval, AuditEvent, Execution, Incident, Model, Proposal, UnfitWindow
from tools import actions
from tools.actions import Risk

FREE = {
    "state": "it can only be moved to where it does not start",
    "reason": "a note for people, not shown before the decision",
    "started_at": "set when it starts; looked at for other proposals only",
    "ended_at": "set when it ends",
    "version": "counts changes",
}
"""Columns of a proposal that the seal does not cover, and why they need not be."""


@pytest.fixture
def approved(bench):
    """A repair, approved by two, ready to start; beside it a second model and a second incident to be pointed at."""
    bench.policy = bench.policy.model_copy(update={"risk": {Risk.LOW: Rule(approvals=2)}})
    now = bench.clock()
    trial = {"gain": 1e22, "interval": [1.5e-9, -0.0, 1.0], "n": 3, "metric": {"name": "mae", "better": None}}
    with bench.services.store.write() as session:
        for number in range(2):
            session.add(Model(name=f"other-{number}", spec="x", registered_at=now))
        session.flush()
        session.add(Incident(id="i-other", model="other-0", state="acting", severity="info", title="x", opened_at=now))
        session.add(Incident(id="i-1", model="churn", state="diagnosed", severity="info", title="x", opened_at=now))
        session.flush()
        fix, incident = actions.parse_action(_fix(now)), session.get_one(Incident, "i-1")
        said = {"at": now, "requested_by": "watchkeeper", "why": "because", "trial": trial}
        return file_proposal(bench.services, session, bench.spec, fix, None, incident, **said).id


def changed(value, rng):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + rng.choice([1, -1, 1e-9, 10**6])
    if isinstance(value, datetime):
        return value + rng.choice([1, -1]) * timedelta(microseconds=rng.choice([1, 10**6, 10**10]))
    if isinstance(value, str):
        place = rng.randrange(len(value) + 1)
        return rng.choice([value + " ", value[:place] + "\u200b" + value[place:], value.upper(), "", "x"])
    if value is None:
        return rng.choice(["x", 1, {"gain": 1}])
    raise TypeError(type(value))


def paths(value, at=()):
    """Every place in plain data, the inner ones too."""
    if isinstance(value, dict):
        return [at, *(found for key, inner in value.items() for found in paths(inner, (*at, key)))]
    if isinstance(value, list):
        return [at, *(found for place, inner in enumerate(value) for found in paths(inner, (*at, place)))]
    return [at]


def change_inside(document, rng):
    """A copy with one place changed, removed, added or put in another order."""
    copied = copy.deepcopy(document)
    *way, last = rng.choice([path for path in paths(document) if path])
    inner = copied
    for step in way:
        inner = inner[step]
    if isinstance(inner[last], dict | list):
        inner[last] = {"and": inner[last]} if isinstance(inner[last], dict) else [*inner[last], "more"]
    elif isinstance(inner, dict) and rng.random() < 0.2:
        del inner[last]
    elif isinstance(inner, dict) and rng.random() < 0.2:
        inner["more"] = 1
    else:
        inner[last] = changed(inner[last], rng)
    return copied


def random_change(session, wanted, rng):
    """Change one field of the proposal or of one of its decisions; what was changed, or None where nothing was."""
    table = rng.choice([Proposal, Approval])
    rows = session.scalars(select(table).where((Proposal.id if table is Proposal else Approval.proposal_id) == wanted))
    row = rng.choice(rows.all())
    names = release.APPROVED if table is Proposal else release.DECIDED
    name = rng.choice([name for name in names if name not in ("id", "proposal_id")])
    before = getattr(row, name)
    if isinstance(before, dict):
        after = change_inside(before, rng)
    elif name in ("model", "incident_id", "diagnosis_id"):
        after = {"model": "other-1", "incident_id": rng.choice([None, "i-other"]), "diagnosis_id": "d-none"}[name]
    elif name == "decision":
        after = "reject"
    else:
        after = changed(before, rng)
    if after == before:
        return None
    session.execute(update(table).where(table.id == row.id).values({name: after}))
    return table.__tablename__, name


def test_one_field_changed_after_approval_a_thousand_times_never_runs(bench, approved):
    for person in ("ann", "ben"):
        approve(bench.services, approved, person=person, reason="because")
    rng, seen = random.Random(20261121), set()
    with bench.services.store.read() as session:
        release.require_released(session, session.get_one(Proposal, approved))
    tried = 0
    while tried < 1000:
        with pytest.raises((InterruptedError, IntegrityError)), bench.services.store.write() as session:
            what = random_change(session, approved, rng)
            session.expire_all()
            if what is not None:
                tried += 1
                seen.add(what)
                with pytest.raises(Conflict, match="it will never run"):
                    release.require_released(session, session.get_one(Proposal, approved))
            raise InterruptedError("roll back")
    sealed = {("proposal", name) for name in release.APPROVED} | {("approval", name) for name in release.DECIDED}
    unreachable = {("proposal", "id"), ("approval", "id"), ("approval", "proposal_id"), ("proposal", "diagnosis_id")}
    assert seen == sealed - unreachable, "every sealed field had its turn"


def test_every_column_is_sealed_or_said_to_be_free():
    columns = {column.key for column in inspect(Proposal).column_attrs}
    assert columns == set(release.APPROVED) | set(FREE)
    assert {column.key for column in inspect(Approval).column_attrs} == set(release.DECIDED)


FORGERIES: dict[str, Any] = {
    "action and digest and every approval": lambda wanted, now: [
        update(Proposal).values(action=_fix(now, "delete it"), digest=_digest(_fix(now, "delete it"))),
        update(Approval).values(digest=_digest(_fix(now, "delete it"))),
    ],
    "a later start": lambda wanted, now: [update(Proposal).values(execute_by=now + timedelta(days=400))],
    "another requester": lambda wanted, now: [update(Proposal).values(requested_by="cat")],
    "another approver": lambda wanted, now: [
        text("UPDATE approval SET person = 'eve' WHERE person = 'ben'"),
    ],
    "one approval more": lambda wanted, now: [
        insert(Approval).values(
            id="v-x", proposal_id=wanted, person="eve", decision="approve", digest="x", reason="", at=now
        )
    ],
    "one approval less": lambda wanted, now: [delete(Approval).where(Approval.person == "ann")],
    "kind": lambda wanted, now: [update(Proposal).values(kind="nonsense")],
    "no action at all": lambda wanted, now: [update(Proposal).values(action={"kind": "x"})],
    "incident of another": lambda wanted, now: [update(Proposal).values(incident_id="i-other")],
    "state": lambda wanted, now: [update(Proposal).values(state="rejected")],
    "state back to pending": lambda wanted, now: [update(Proposal).values(state="pending")],
}  # fmt: skip


def _fix(now, repair="divide by 12"):
    made = actions.FixData(
        model="churn", features=("age", "plan"), repair=repair, onset=now, window_end=now, notify="#feeds"
    )
    return made.model_dump(mode="json")


def _digest(document):
    return actions.digest(actions.parse_action(document))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_row_never_runs_ends_and_holds_nobody_up(bench, approved, forgery):
    for person in ("ann", "ben"):
        approve(bench.services, approved, person=person)
    with bench.services.store.write() as session:
        for statement in FORGERIES[forgery](approved, bench.clock()):
            session.execute(statement)
    executor.run_ready(bench.services, worker="w")
    with bench.services.store.read() as session:
        assert session.scalar(select(UnfitWindow.id)) is None, "nothing was done"
        execution = session.scalar(select(Execution.state))
    assert execution in ("failed", "superseded")
    assert executor.run_ready(bench.services, worker="w") == 0


def test_an_approval_that_nobody_gave_is_none(bench, approved):
    """Rows written past the program: approved, with approvals, an execution and times, but the audit knows nothing."""
    now = bench.clock()
    with bench.services.store.write() as session:
        values = {"state": "approved", "approved_at": now, "execute_by": now + timedelta(hours=1)}
        session.execute(update(Proposal).values(**values))
        row = session.get_one(Proposal, approved)
        for person in ("ann", "ben"):
            session.add(
                Approval(proposal_id=approved, person=person, decision="approve", digest=row.digest, reason="", at=now)
            )
        session.add(Execution(proposal_id=approved, model="churn", created_at=now))
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(approved).state == "failed"
    assert "was never approved in this form" in bench.proposal(approved).reason


def test_a_seal_in_an_event_that_was_rewritten_is_none(bench, approved):
    """Whoever drops the triggers and writes the seal anew must also hash the event anew: the chain shows that."""
    from tests.agent.store.tampering import drop_triggers

    for person in ("ann", "ben"):
        approve(bench.services, approved, person=person)
    with bench.services.store.write() as session:
        drop_triggers(session)
        session.execute(update(Proposal).values(execute_by=bench.clock() + timedelta(days=9)))
        session.expire_all()
        row = session.get_one(Proposal, approved)
        event = session.scalars(select(AuditEvent).where(AuditEvent.event == "proposal approved")).one()
        data = {**event.data, "seal": release.seal(session, row, approved=True)}
        session.execute(update(AuditEvent).where(AuditEvent.seq == event.seq).values(data=data))
        session.expire_all()
        with pytest.raises(Conflict, match="it will never run"):
            release.require_released(session, session.get_one(Proposal, approved))
