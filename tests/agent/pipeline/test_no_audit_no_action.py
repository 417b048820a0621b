"""No audit, no action: where the audit cannot be written, nothing is changed and nothing is done; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from agent import executor
from agent.commands.workspace import add_model, record_deployment
from agent.pipeline import approve as decisions
from agent.pipeline.cancel import cancel
from agent.pipeline.freeze import freeze, unfreeze
from agent.pipeline.propose import file_proposal
from agent.pipeline.verify import Finding, settle
from agent.store.changes import move_incident
from agent.store.tables import Base, Execution, Incident
from ml.models import deployment
from tests.agent.conftest import SPEC
from tools import actions


def break_audit(bench):
    """From now on no event can be added: a full disk, a right taken away."""
    with bench.services.store.write() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(
                text(
                    "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN RAISE EXCEPTION 'no space left'; END $$"
                )
            )
            session.execute(
                text("CREATE TRIGGER full_disk BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION full_disk()")
            )
        else:
            session.execute(
                text("CREATE TRIGGER full_disk BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no space left'); END")
            )


def everything(bench):
    """Every row of every table."""
    with bench.services.store.read() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table)).all())) for table in Base.metadata.sorted_tables
        }


def fix(bench):
    now = bench.clock()
    return actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now)


def ready(bench, *, approved=False, started=False, switches=False):
    """A proposal, with its incident; `switches`: one that switches a version."""
    if switches:
        bench.add_versions(False, True)
        deployment.promote(bench.services.registry, "churn", "2", expected="1")
    wanted = bench.propose(bench.rollback() if switches else fix(bench), incident=True)
    if approved:
        decisions.approve(bench.services, wanted, person="ann")
    if started:
        assert executor.claim(bench.services, worker="dead") is not None
        bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    return wanted


def in_transaction(bench, step):
    with bench.services.store.write() as session:
        return step(session)


def proposing(bench):
    with bench.services.store.write() as session:
        at = bench.clock()
        file_proposal(bench.services, session, bench.spec, fix(bench), None, None, at=at, requested_by="watchkeeper")


def approving(bench):
    wanted = ready(bench)
    return lambda: decisions.approve(bench.services, wanted, person="ann")


def rejecting(bench):
    wanted = ready(bench)
    return lambda: decisions.reject(bench.services, wanted, person="ann", reason="no")


def withdrawing(bench):
    wanted = ready(bench)
    return lambda: decisions.withdraw(bench.services, wanted, person="ann", reason="no")


def cancelling(bench):
    wanted = ready(bench, approved=True)
    return lambda: in_transaction(bench, lambda s: cancel(bench.services, s, wanted, person="ann", reason="no"))


def superseding_when_approved(bench):
    wanted = ready(bench, switches=True)
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    return lambda: decisions.approve(bench.services, wanted, person="ann")


def superseding_by_the_watch(bench):
    ready(bench, switches=True)
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    return lambda: decisions.supersede_overtaken(bench.services, "churn")


def expiring(bench):
    ready(bench)
    bench.clock.advance("3d")
    return lambda: in_transaction(bench, lambda s: decisions.expire(bench.services, s))


def starting(bench):
    ready(bench, approved=True, switches=True)
    return lambda: executor.run_ready(bench.services, worker="w")


def taking_over(bench):
    ready(bench, approved=True, started=True)
    return lambda: executor.run_ready(bench.services, worker="w")


def freezing(bench):
    return lambda: in_transaction(bench, lambda s: freeze(bench.services, s, person="ann", reason="fire"))


def unfreezing(bench):
    freezing(bench)()
    in_transaction(bench, lambda s: unfreeze(bench.services, s, person="ann", reason="out"))
    return lambda: in_transaction(bench, lambda s: unfreeze(bench.services, s, person="ben", reason="out"))


def adding_a_model(bench):
    path = bench.services.home / "spec.yaml"
    path.write_text(SPEC.replace("name: churn", "name: other"))
    return lambda: add_model(bench.services, path)


def recording_a_deployment(bench):
    return lambda: record_deployment(bench.services, "churn", "7", kind="promote", note="by hand")


def judging(bench):
    wanted = bench.propose(fix(bench))
    decisions.approve(bench.services, wanted, person="ann")
    executor.run_ready(bench.services, worker="w")
    found = Finding("inconclusive", {"statement": "No clear difference."}, proposal=wanted)
    return lambda: in_transaction(bench, lambda s: settle(bench.services, s, bench.spec, found, bench.clock()))


def moving_an_incident(bench):
    bench.propose(fix(bench), incident=True)
    return lambda: in_transaction(bench, lambda s: _decline(s, bench))


def _decline(session, bench):
    incident = session.scalars(select(Incident)).one()
    incident.severity = "info"
    move_incident(session, incident, "be declined", at=bench.clock(), actor="x")


WAYS = [
    (lambda bench: lambda: proposing(bench)), approving, rejecting, withdrawing, cancelling, superseding_when_approved,
    superseding_by_the_watch, expiring, starting, taking_over, freezing, unfreezing, adding_a_model,
    recording_a_deployment, judging, moving_an_incident,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("<lambda>", "proposing"))
def test_without_the_audit_nothing_is_changed(bench, way):
    act = way(bench)
    break_audit(bench)
    before, champion = everything(bench), bench.services.registry.alias("churn", "champion")
    with pytest.raises(DatabaseError, match="no space left"):
        act()
    assert everything(bench) == before
    assert bench.services.registry.alias("churn", "champion") == champion, "and no version was switched"


def test_an_effect_without_its_record_is_recorded_when_the_audit_can_be_written_again(bench):
    """The version was switched, then the audit failed: nothing says done, nothing says undone; it is taken over."""
    wanted = ready(bench, approved=True, switches=True)
    execution = executor.claim(bench.services, worker="w")
    break_audit(bench)
    executor.run(bench.services, execution)
    assert bench.services.registry.alias("churn", "champion") == "1"
    assert bench.proposal(wanted).state == "executing"
    with bench.services.store.write() as session:
        session.execute(
            text("DROP TRIGGER full_disk" + (" ON audit" if "postgresql" in bench.services.store.url else ""))
        )
        session.execute(update(Execution).values(lease_until=bench.clock() - timedelta(seconds=1)))
    assert executor.run_ready(bench.services, worker="other") == 1
    assert bench.proposal(wanted).state == "verifying"
    assert bench.events(wanted)[-3:] == ["execution taken over", "proposal executed", "proposal verifying"]
