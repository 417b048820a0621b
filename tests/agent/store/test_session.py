"""What the database says is put into our own tree; on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from agent.domain.errors import Conflict
from agent.store.tables import Alert, Model


def test_somebody_else_was_first_is_a_conflict(bench):
    with pytest.raises(Conflict, match="look again"), bench.services.store.write() as session:
        session.add(Model(name="churn", spec="x", registered_at=bench.clock()))


def test_a_row_that_changed_since_it_was_read_is_a_conflict(bench):
    wanted = bench.propose(bench.rollback(), incident=True)
    stale = bench.proposal(wanted)
    with bench.services.store.write() as session:
        session.merge(bench.proposal(wanted)).reason = "first"
    with pytest.raises(Conflict, match="look again"), bench.services.store.write() as session:
        session.add(stale)
        stale.reason = "second"
    assert bench.proposal(wanted).reason == "first"


def test_a_broken_rule_of_ours_is_not_called_a_conflict(bench):
    with pytest.raises(IntegrityError), bench.services.store.write() as session:
        session.add(Alert(model="churn", incident_id="i-none", fingerprint="f", severity="loud"))
