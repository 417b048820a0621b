"""A person decides: who may, on what, how often, how late; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from agent.domain.errors import Conflict, Expired, InvalidInput, NotAllowed, NotFound
from agent.domain.policy import Rule
from agent.pipeline.approve import approve, expire, reject
from agent.store.tables import Approval, Execution, Incident, Proposal
from ml.models import deployment
from tools.actions import Risk


@pytest.fixture
def proposal(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench.propose(bench.rollback(), incident=True)


def decide(bench, proposal, person="ann", **options):
    return approve(bench.services, proposal, person=person, **options)


def test_one_approval_releases_it_and_is_recorded(bench, proposal):
    assert decide(bench, proposal, reason="clear enough").state == "approved"
    assert bench.events(proposal) == ["proposal pending", "decision approve", "proposal approved"]
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "acting"
        assert session.scalar(select(Execution.state)) == "ready"


def test_a_rejection_needs_a_reason_and_ends_it(bench, proposal):
    with pytest.raises(InvalidInput, match="needs a --reason"):
        reject(bench.services, proposal, person="ann", reason=" ")
    assert reject(bench.services, proposal, person="ann", reason="not now").state == "rejected"
    with pytest.raises(Conflict, match=r"already rejected \(not now\)"):
        decide(bench, proposal)
    with bench.services.store.read() as session:
        assert session.scalar(select(func.count()).select_from(Execution)) == 0
        assert session.scalar(select(Incident.state)) == "diagnosed"


@pytest.mark.parametrize("person", ["cat", "dan", "mallory", "watchkeeper"])
def test_who_may_not_decide_changes_nothing(bench, proposal, person):
    with pytest.raises(NotAllowed):
        decide(bench, proposal, person=person)
    assert bench.proposal(proposal).state == "pending"


def test_quorum_takes_different_people(bench, proposal):
    bench.policy = bench.policy.model_copy(update={"risk": {Risk.MEDIUM: Rule(approvals=2)}})
    assert decide(bench, proposal, "ann").state == "pending"
    assert decide(bench, proposal, "ann").state == "pending"
    assert decide(bench, proposal, "ben").state == "approved"


def test_a_digest_that_was_not_shown_is_refused(bench, proposal):
    with pytest.raises(Conflict, match="not the one you were shown"):
        decide(bench, proposal, digest="0" * 64)
    assert decide(bench, proposal, digest=bench.proposal(proposal).digest).state == "approved"


def test_a_changed_proposal_can_not_be_approved(bench, proposal):
    with bench.services.store.write() as session:
        session.execute(update(Proposal).values(action={**bench.proposal(proposal).action, "to_version": "9"}))
    with pytest.raises(Conflict, match="was changed after it was made"):
        decide(bench, proposal)


def test_too_late_is_too_late(bench, proposal):
    bench.clock.advance("3d")
    with pytest.raises(Expired, match="expired at"):
        decide(bench, proposal)
    with bench.services.store.write() as session:
        assert [row.state for row in expire(bench.services, session)] == ["expired"]
        assert expire(bench.services, session) == []
    assert bench.events(proposal)[-1] == "proposal expired"


def test_an_approved_proposal_expires_when_nothing_executes_it(bench, proposal):
    decide(bench, proposal)
    bench.clock.advance("7h")
    with bench.services.store.write() as session:
        expire(bench.services, session)
    assert bench.proposal(proposal).state == "expired"
    with bench.services.store.read() as session:
        assert session.scalar(select(Execution.state)) == "superseded"


def test_another_champion_supersedes_it(bench, proposal):
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    with pytest.raises(Conflict, match="overtaken and will not run: the champion is version 1 now"):
        decide(bench, proposal)
    assert bench.proposal(proposal).state == "superseded"
    assert bench.events(proposal) == ["proposal pending", "proposal superseded"]


def test_an_id_is_found_by_its_start_and_a_wrong_one_says_where_to_look(bench, proposal):
    assert decide(bench, proposal[:6]).state == "approved"
    with pytest.raises(NotFound, match="`watchkeeper proposal list`"):
        decide(bench, "p-none")


def test_forty_approvals_at_once_make_one_execution(bench, proposal):
    def click(number):
        try:
            return decide(bench, proposal, person=("ann", "ben")[number % 2]).state
        except Conflict as late:
            return "late" if "already approved" in str(late) else str(late)

    with ThreadPoolExecutor(40) as pool:  # more than the pool of connections holds
        answers = list(pool.map(click, range(40)))
    assert sorted(set(answers)) == ["approved", "late"], "the same person's second click is the same as the first"
    assert answers.count("late") == 20
    with bench.services.store.read() as session:
        assert session.scalar(select(func.count()).select_from(Execution)) == 1
        assert session.scalar(select(func.count()).select_from(Approval)) == 1
