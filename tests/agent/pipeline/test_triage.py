"""From measurements to alerts and incidents: one for each harm, none again for what was told harmless and is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent.pipeline.monitor import Look, _row
from agent.pipeline.triage import tell_owner, triage
from agent.store.tables import Alert, Diagnosis, Incident, MonitorRun, Outbox
from ml.results import Measurement, Status, Window


def seen(bench, monitor="performance.loss", status=Status.BREACH, feature=None, n=100, segment=None):
    window = Window.before(bench.clock(), timedelta(days=2))
    value = None if status is Status.NO_DATA else 1.0
    measured = Measurement(monitor, window, value, n, status, feature, segment, detail=f"{monitor} {status}")
    return Look("churn", window, 100, "1", 0.1, [measured], None)


def turn(bench, **options):
    with bench.services.store.write() as session:
        return first_of(triage(session, bench.spec, seen(bench, **options), bench.clock()))


def first_of(incidents):
    return incidents[0].id if incidents else None


def stored(bench, **options):
    """A turn whose look is kept, so that the next one can count how many came before."""
    look = seen(bench, **options)
    with bench.services.store.write() as session:
        run = MonitorRun(
            model="churn", window_start=look.window.start, window_end=look.window.end, rows=100, champion="1", seconds=0
        )
        session.add(run)
        session.flush()
        session.add_all(_row(run, m) for m in look.measurements)
        found = first_of(triage(session, bench.spec, look, bench.clock()))
    bench.clock.advance("1h")
    return found


def rules(bench, **families):
    """Other alert rules than the spec's."""
    made = {name: getattr(bench.spec.alerts, name).model_copy(update=rule) for name, rule in families.items()}
    bench.spec = bench.spec.model_copy(update={"alerts": bench.spec.alerts.model_copy(update=made)})


def letters(bench):
    with bench.services.store.read() as session:
        return [(m.recipient, m.title, m.body) for m in session.scalars(select(Outbox).order_by(Outbox.id))]


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


def test_hysteresis_counts_looks_in_a_row_of_the_same_column_and_segment(bench):
    rules(bench, drift={"hysteresis": 3})
    assert stored(bench, monitor="drift.psi", feature="age") is None
    assert stored(bench, monitor="drift.psi", feature="plan") is None, "another column is another row of looks"
    assert stored(bench, monitor="drift.psi", feature="age") is None
    assert stored(bench, monitor="drift.psi", feature="age", status=Status.OK) is None
    assert [stored(bench, monitor="drift.psi", feature="age") for _ in range(2)] == [None, None]
    assert stored(bench, monitor="drift.psi", feature="age") is not None
    rules(bench, performance={"hysteresis": 2})
    stored(bench, monitor="performance.segment", segment="plan=a")
    assert count(bench, Alert) == 1
    stored(bench, monitor="performance.segment", segment="plan=b")
    assert count(bench, Alert) == 1, "one segment does not stand in for another"
    stored(bench, monitor="performance.segment", segment="plan=b")
    assert count(bench, Alert) == 2


def test_few_rows_and_silence_raise_nothing_and_are_still_measured(bench):
    rules(bench, performance={"min_rows": 50}, quality={"silence": True})
    assert stored(bench, n=49) is None
    assert stored(bench, monitor="quality.null_share", feature="age") is None
    assert (count(bench, Alert), count(bench, MonitorRun)) == (0, 2)
    assert stored(bench, n=50) is not None


def test_an_alert_keeps_standing_while_there_is_no_data(bench):
    first = stored(bench)
    assert stored(bench, status=Status.NO_DATA) == first
    with bench.services.store.read() as session:
        assert session.scalars(select(Alert)).one().cleared_at is None


def test_what_fires_together_is_one_incident_as_grave_as_its_gravest_alert(bench):
    first = turn(bench, monitor="quality.null_share", feature="age")
    with bench.services.store.read() as session:
        assert session.get_one(Incident, first).severity == "warning"
    assert turn(bench, monitor="performance.rise") == first
    with bench.services.store.read() as session:
        assert session.get_one(Incident, first).severity == "critical"
    assert (count(bench, Incident), count(bench, Alert)) == (1, 2)


@pytest.mark.parametrize(
    ("monitor", "recipient"), [("performance.rise", "#churn"), ("quality.null_share", "#feeds"), ("drift.psi", None)]
)
def test_the_owner_hears_once_and_the_datas_owner_of_broken_inputs(bench, monitor, recipient):
    rules(bench, drift={"hysteresis": 1})
    incident = turn(bench, monitor=monitor, feature="age")
    for _ in range(2):
        with bench.services.store.write() as session:
            tell_owner(session, bench.spec, session.get_one(Incident, incident), bench.clock())
    told = letters(bench)
    assert [letter[0] for letter in told] == ([recipient] if recipient else [])
    if recipient:
        assert f"{monitor} breach" in told[0][2]
        assert f"incident show {incident}" in told[0][2]


def test_severity_comes_from_the_rule_of_the_family(bench):
    rules(bench, performance={"severity": "info"})
    first = turn(bench)
    with bench.services.store.read() as session:
        assert (session.get_one(Incident, first).severity, session.scalars(select(Alert)).one().severity) == (
            "info",
            "info",
        )
