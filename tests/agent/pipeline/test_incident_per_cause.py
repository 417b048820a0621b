"""One incident for each cause: what breaks while another cause is decided on or acted on is a matter of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.pipeline.monitor import Look
from agent.pipeline.propose import Pins, may_propose, propose
from agent.pipeline.triage import fold, triage
from agent.pipeline.verify import Finding, settle
from agent.pipeline.watch import watch
from agent.store import queries
from agent.store.tables import Alert, Diagnosis, Incident, Proposal, Verification
from ml.results import Measurement, Status, Window
from tests.agent.conftest import rows
from tools import actions


def diagnosed(session, bench, incident, cause="bad_deployment", features=(), action="rollback"):
    now = bench.clock()
    session.add(
        Diagnosis(
            incident_id=incident.id, at=now, window_start=now - timedelta(days=2), window_end=now, verdict="incident",
            cause=cause, probability=0.9, onset=None, action=action, seconds=0.1,
            document={"causes": [{"cause": cause, "features": list(features)}], "action": {"why": "w"}},
        )
    )  # fmt: skip
    session.flush()


def seen(session, bench, *breaches):
    window = Window.before(bench.clock(), timedelta(days=2))
    found = [Measurement(name, window, 1.0, 900, Status.BREACH, column, detail="d") for name, column in breaches]
    return triage(session, bench.spec, Look("churn", window, 900, "1", 0.1, found, None), bench.clock())


@pytest.fixture
def acted_on(bench):
    """An incident by a bad deployment, for whose rollback a decision is waited for."""
    with bench.services.store.write() as session:
        (first,) = seen(session, bench, ("performance.rise", None))
        diagnosed(session, bench, first)
        first.state = "waiting"
        return first.id


def homes(bench):
    with bench.services.store.read() as session:
        return {(a.monitor, a.feature): a.incident_id for a in session.scalars(select(Alert))}


@pytest.mark.parametrize("state", ["waiting", "acting", "verifying"])
def test_a_broken_input_that_the_cause_does_not_name_is_an_incident_of_its_own(bench, acted_on, state):
    with bench.services.store.write() as session:
        session.get_one(Incident, acted_on).state = state
        first, second = seen(session, bench, ("performance.rise", None), ("quality.null_share", "age"))
        assert (first.id, second.state, second.severity) == (acted_on, "open", "warning")
        assert second.key not in ("", first.key)
    assert homes(bench) == {("performance.rise", None): acted_on, ("quality.null_share", "age"): second.id}
    bench.clock.advance("1h")
    with bench.services.store.write() as session:
        again = seen(session, bench, ("quality.null_share", "age"), ("quality.range", "age"), ("drift.psi", "plan"))
        assert [incident.id for incident in again] == [acted_on, second.id], "what is still sought takes what comes"


@pytest.mark.parametrize(
    ("named", "breach"),
    [
        ((), ("performance.segment", None)),
        ((), ("drift.psi", "age")),
        (("age",), ("quality.range", "age")),
        ((), ("quality.duplicates", None)),
    ],
)
def test_what_may_follow_from_the_known_cause_stays_with_it(bench, acted_on, named, breach):
    with bench.services.store.write() as session:
        bench.clock.advance("1m")
        diagnosed(session, bench, session.get_one(Incident, acted_on), features=named)
        assert [incident.id for incident in seen(session, bench, breach)] == [acted_on]


def test_a_breach_that_clears_and_comes_back_while_its_incident_is_acted_on_stays_with_it(bench, acted_on):
    """As in the demo: the cause turned out to be in another column than the one that opened the incident."""
    with bench.services.store.write() as session:
        _, second = seen(session, bench, ("quality.null_share", "age"))
        diagnosed(session, bench, second, "data_pipeline_fault", ["plan"], "fix_data")
        second.state = "verifying"
        session.scalars(select(Alert).where(Alert.incident_id == second.id)).one().cleared_at = bench.clock()
    bench.clock.advance("1h")
    with bench.services.store.write() as session:
        again = seen(session, bench, ("quality.null_share", "age"))
        assert [incident.id for incident in again] == [acted_on, second.id]
        assert [a.incident_id for a in queries.firing_alerts(session, "churn") if a.feature == "age"] == [second.id]


def test_what_turns_out_to_have_the_same_cause_goes_on_in_the_earlier_incident(bench, acted_on):
    with bench.services.store.write() as session:
        _, second = seen(session, bench, ("quality.null_share", "age"))
        second.state = "diagnosed"
        diagnosed(session, bench, second, "data_pipeline_fault", ["age"], "fix_data")
        assert fold(session, second, bench.clock()) is None, "another cause"
        bench.clock.advance("1m")
        diagnosed(session, bench, second)
        assert fold(session, second, bench.clock()).id == acted_on
        assert (second.state, second.resolution) == (
            "resolved",
            f"The same cause as incident {acted_on}, where it goes on.",
        )
    assert set(homes(bench).values()) == {acted_on}
    with bench.services.store.write() as session:
        bench.clock.advance("1h")
        assert [incident.id for incident in seen(session, bench, ("quality.null_share", "age"))] == [acted_on]


def test_only_the_alerts_of_what_recovered_are_cleared(bench, acted_on):
    wanted = bench.propose(actions.Silence(model="churn", until=bench.clock() + timedelta(days=1)))
    with bench.services.store.write() as session:
        seen(session, bench, ("quality.null_share", "age"))
        session.get_one(Incident, acted_on).state = "verifying"
        row = session.get_one(Proposal, wanted)
        row.state, row.incident_id = "verifying", acted_on
        session.add(Verification(proposal_id=wanted, started_at=bench.clock(), due_at=bench.clock(), document={}))
        session.flush()
        settle(bench.services, session, bench.spec, Finding("succeeded", {"statement": "s"}, wanted), bench.clock())
        firing = queries.firing_alerts(session, "churn")
        assert [alert.feature for alert in firing] == ["age"]
        assert session.get_one(Incident, acted_on).state == "resolved"


def test_beside_a_live_proposal_of_another_incident_work_goes_on_and_beside_its_own_it_rests(bench, acted_on):
    own = bench.propose(bench.rollback())
    with bench.services.store.write() as session:
        session.get_one(Proposal, own).incident_id = acted_on
        _, second = seen(session, bench, ("quality.null_share", "age"))
        assert may_propose(bench.services, session, bench.spec, second, bench.clock())
        session.get_one(Proposal, own).incident_id = second.id
        session.flush()
        assert not may_propose(bench.services, session, bench.spec, second, bench.clock())


def test_a_column_that_breaks_while_a_rollback_waits_gets_its_own_proposal(bench):
    """The whole turn, on real rows: both are in the queue, each with its own incident."""
    bench.add_versions(True, False)
    now = bench.clock()
    bench.serve(now - timedelta(days=2), 280, seed=3)
    bench.clock.advance("2d")
    with bench.services.store.write() as session:
        first = Incident(model="churn", state="diagnosed", severity="critical", title="t", opened_at=bench.clock())
        session.add(first)
        session.flush()
        diagnosed(session, bench, first)
    waits = bench.propose(bench.rollback(expected="1", to="2"))
    with bench.services.store.write() as session:
        session.get_one(Proposal, waits).incident_id = first.id
        session.get_one(Incident, first.id).state = "waiting"
    champion = bench.services.registry.load("churn", "1", bench.spec)
    broken = rows(now, 280, seed=4)
    broken["age"] = broken["age"].where(broken.index % 2 == 0)
    answers = champion.predict(broken)
    logged = broken.assign(prediction=answers["prediction"], score=answers["score"])
    bench.services.log.append_predictions(bench.spec, logged.drop(columns="label"), batch_id="broken")
    turn = watch(bench.services, "churn", bench.clock())
    assert turn.incident.id != first.id
    assert (turn.proposal.kind, turn.proposal.action["features"]) == ("fix_data", ["age"])
    with bench.services.store.read() as session:
        kinds = {(row.kind, row.state, row.incident_id) for row in session.scalars(select(Proposal))}
    assert kinds == {("rollback", "pending", first.id), ("fix_data", "pending", turn.incident.id)}


def test_while_a_new_version_is_watched_everything_stays_with_its_incident(bench, acted_on):
    """Its reference is as new as the version: what differs from that says little before the verdict."""
    wanted = bench.propose(bench.rollback())
    with bench.services.store.write() as session:
        session.get_one(Incident, acted_on).state = "verifying"
        row = session.get_one(Proposal, wanted)
        row.state, row.incident_id = "verifying", acted_on
        session.flush()
        assert [incident.id for incident in seen(session, bench, ("quality.null_share", "age"))] == [acted_on]


@pytest.mark.parametrize(
    ("state", "filed"), [("waiting", False), ("acting", False), ("verifying", False), ("diagnosed", True)]
)
def test_beside_an_incident_that_is_acted_on_no_second_change_of_the_model_is_proposed(bench, acted_on, state, filed):
    with bench.services.store.write() as session:
        session.get_one(Incident, acted_on).state = "waiting"
        _, second = seen(session, bench, ("quality.null_share", "age"))
        second.state = "diagnosed"
        diagnosed(session, bench, second, "concept_drift", action="retrain")
        session.get_one(Diagnosis, queries.latest_diagnosis(session, second.id).id).document = {
            "causes": [{"cause": "concept_drift", "features": []}],
            "action": {"kind": "retrain", "why": "w", "parameters": {}},
        }
        session.get_one(Incident, acted_on).state = state
        session.flush()
        made = propose(bench.services, session, bench.spec, second, Pins("1", "p1.l1"), bench.clock())
        assert (made is not None) is filed
