"""From measurements to alerts and incidents: one for each harm, none again for what was told harmless and is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.pipeline.monitor import Look
from agent.pipeline.triage import triage
from agent.store.tables import Alert, Diagnosis, Incident
from ml.results import Measurement, Status, Window


def seen(bench, monitor="performance.loss", status=Status.BREACH, feature=None):
    window = Window.before(bench.clock(), timedelta(days=2))
    measured = Measurement(monitor, window, 1.0, 100, status, feature=feature, detail=f"{monitor} {status}")
    return Look("churn", window, 100, "1", 0.1, [measured], None)


def turn(bench, **options):
    with bench.services.store.write() as session:
        incident = triage(session, bench.spec, seen(bench, **options), bench.clock())
        return incident and incident.id


def told_harmless(bench, incident):
    with bench.services.store.write() as session:
        row = session.get_one(Incident, incident)
        row.state, row.resolved_at = "resolved", bench.clock()
        session.add(
            Diagnosis(
                incident_id=incident,
                at=bench.clock(),
                window_start=bench.clock() - timedelta(days=2),
                window_end=bench.clock(),
                verdict="drift_harmless",
                cause="harmless_shift",
                probability=0.9,
                onset=None,
                action="no_action",
                document={},
                seconds=0.1,
            )
        )


def count(bench, table):
    with bench.services.store.read() as session:
        return len(session.scalars(select(table)).all())


def test_looks_that_breach_alike_are_one_alert_of_one_incident(bench):
    first = turn(bench)
    bench.clock.advance("1h")
    assert turn(bench) == first
    with bench.services.store.read() as session:
        assert session.scalars(select(Alert)).one().looks == 2


def test_an_incident_whose_alerts_clear_is_resolved_by_itself(bench):
    first = turn(bench)
    bench.clock.advance("1h")
    assert turn(bench, status=Status.OK) == first
    with bench.services.store.read() as session:
        assert session.get_one(Incident, first).resolution == "Every alert has cleared."


def test_more_drift_soon_after_a_harmless_one_opens_nothing(bench):
    bench.spec = bench.spec.model_copy(
        update={
            "alerts": bench.spec.alerts.model_copy(
                update={"drift": bench.spec.alerts.drift.model_copy(update={"hysteresis": 1})}
            )
        }
    )
    first = turn(bench, monitor="drift.psi", feature="age")
    told_harmless(bench, first)
    bench.clock.advance("1h")
    assert turn(bench, monitor="drift.psi", feature="plan") is None
    assert (count(bench, Incident), count(bench, Alert)) == (1, 2)


@pytest.mark.parametrize(("after", "opened"), [("1h", False), ("3d", True)])
def test_a_grave_alert_that_goes_on_for_a_window_asks_again(bench, after, opened):
    told_harmless(bench, turn(bench))
    bench.clock.advance(after)
    assert (turn(bench) is not None) is opened
    assert count(bench, Incident) == (2 if opened else 1)
