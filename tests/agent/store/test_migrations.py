"""The migrations make the tables that the code declares, on both databases, and a database behind is refused."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import IntegrityError

from agent.domain.errors import InvalidInput, Unavailable
from agent.store import audit
from agent.store.migrate import require_current, revisions, upgrade
from agent.store.session import Store
from agent.store.tables import Base, Execution, ExecutionStep, Proposal, UtcDateTime
from tools.actions import canonical_json


def test_the_migrated_tables_are_the_declared_ones(database_url):
    store = Store(database_url)
    upgrade(store)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata})
        assert compare_metadata(context, Base.metadata) == []
    require_current(store)
    store.close()


def test_an_empty_database_says_what_to_run(database_url):
    store = Store(database_url)
    assert revisions(store)[0] is None
    with pytest.raises(Unavailable, match=r"has no tables yet; run `watchkeeper db upgrade`"):
        require_current(store)
    store.close()


def test_an_unreachable_database_is_named_without_its_password():
    store = Store("postgresql://me:secret@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="cannot be used") as caught:
        revisions(store)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(InvalidInput):
        Store(url)


def test_an_older_database_keeps_its_audit_whole_and_learns_when_actions_started(database_url):
    """Written by the program of revision 0001: the hash was over the same canonical JSON."""
    store = Store(database_url)
    upgrade(store, "0001")
    at, previous = datetime(2026, 3, 1, 12, tzinfo=UTC), "0" * 64
    with store.write() as session:
        for seq, event in enumerate(("proposal pending", "proposal approved", "proposal executing"), 1):
            data = {"reason": "ü", "trial": {"gain": 1.5e-9, "n": 3, "none": None}, "a": [1, 2.5]}
            moment = at + timedelta(hours=seq)
            content = {"seq": seq, "at": moment.isoformat(), "actor": "ann", "event": event, "subject": "p-1"}
            content |= {"data": data, "previous": previous}
            made = hashlib.sha256(canonical_json(content)).hexdigest()
            values = {**content, "at": moment, "data": json.dumps(data), "hash": made}
            session.execute(
                text(
                    "INSERT INTO audit (seq, at, actor, event, subject, data, previous, hash) "
                    "VALUES (:seq, :at, :actor, :event, :subject, :data, :previous, :hash)"
                ).bindparams(bindparam("at", type_=UtcDateTime())),
                values,
            )
            previous = made
        session.execute(text("UPDATE audit_head SET seq = 3, hash = :hash"), {"hash": previous})
        session.execute(
            text("INSERT INTO model (name, spec, registered_at) VALUES ('churn', 'x', :at)").bindparams(
                bindparam("at", type_=UtcDateTime())
            ),
            {"at": at},
        )
        session.execute(
            text(
                "INSERT INTO proposal (id, model, kind, action, digest, risk, why, requested_by, state, reason, "
                "created_at, approve_by, version) VALUES ('p-1', 'churn', 'retrain', '{}', 'd', 'high', '', 'w', "
                "'executing', '', :at, :at, 1)"
            ).bindparams(bindparam("at", type_=UtcDateTime())),
            {"at": at},
        )
    upgrade(store)
    with store.write() as session:
        assert audit.verify(session).whole
        assert session.get_one(Proposal, "p-1").started_at == at + timedelta(hours=3)
        audit.append(session, at=at, actor="ann", event="goes on", subject="p-1", data={"huge": 1e22})
    with store.read() as session:
        found = audit.verify(session)
    assert (found.events, found.faults) == (4, ())
    store.close()


def test_what_runs_when_the_program_is_upgraded_goes_on(database_url):
    """Written by the program of revision 0004; the executions' table is made anew, and what refers to it still does."""
    store = Store(database_url)
    upgrade(store, "0004")
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = (
        "INSERT INTO model (name, spec, registered_at) VALUES ('churn', 'x', :at)",
        "INSERT INTO proposal (id, model, kind, action, digest, risk, why, requested_by, state, reason, created_at, "
        "approve_by, version) "
        "VALUES ('p-1', 'churn', 'retrain', '{}', 'd', 'high', '', 'w', 'executing', '', :at, :at, 1)",
        "INSERT INTO execution (id, proposal_id, state, token, created_at, error, cancelled) "
        "VALUES ('x-1', 'p-1', 'running', 3, :at, '', '')",
        "INSERT INTO execution_step (execution_id, name, position, state, token, intended_at) "
        "VALUES ('x-1', 'train', 2, 'intended', 3, :at)",
    )
    with store.write() as session:
        for row in rows:
            session.execute(text(row).bindparams(bindparam("at", type_=UtcDateTime())), {"at": at})
    upgrade(store)
    with store.read() as session:
        execution = session.get_one(Execution, "x-1")
        assert (execution.model, execution.token, execution.resume_at) == ("churn", 3, None)
        step = session.scalars(select(ExecutionStep)).one()
        assert (step.execution_id, step.tries, step.error) == ("x-1", 0, "")
    with pytest.raises(IntegrityError), store.write() as session:
        session.execute(text("DELETE FROM execution"))
    store.close()
