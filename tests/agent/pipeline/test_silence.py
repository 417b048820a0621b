"""A silence: approved as any action, opens no incident while it lasts, is shown, and ends by itself or by a person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.executor import claim, run
from agent.pipeline import silence
from agent.pipeline.approve import approve
from agent.pipeline.monitor import Look
from agent.pipeline.tooling import tool_context
from agent.pipeline.triage import triage
from agent.pipeline.verify import judge, settle
from agent.store import queries
from agent.store.tables import Alert, Incident, MeasurementRow, MonitorRun, Silence
from ml.results import Measurement, Status, Window
from tools.actions import CHARACTER, ActionKind, Risk
from tools.catalogue import call
from tools.context import Caller

AGE, PLAN = ("quality.null_share", "age"), ("quality.null_share", "plan")


def look(bench: Any, at: datetime, *breaches: tuple[str, str | None]) -> Incident | None:
    """A look that saw these breaches (and age and plan otherwise fine), and what triage made of it."""
    window = Window.before(at, bench.spec.window)
    names = dict.fromkeys([AGE, PLAN, *breaches])
    with bench.services.store.write() as session:
        run = MonitorRun(
            model="churn", window_start=window.start, window_end=window.end, rows=900, champion="1", seconds=0.1
        )
        session.add(run)
        session.flush()
        seen = []
        for monitor, feature in names:
            status = Status.BREACH if (monitor, feature) in breaches else Status.OK
            seen.append(Measurement(monitor, window, 0.5, 900, status, feature=feature, detail=f"{feature} breaks"))
            session.add(
                MeasurementRow(
                    run_id=run.id, model="churn", monitor=monitor, feature=feature, window_start=window.start,
                    window_end=window.end, value=0.5, n=900, unit="", status=status, detail="", facts={"kept": 1},
                )
            )  # fmt: skip
        session.flush()
        return next(iter(triage(session, bench.spec, Look("churn", window, 900, "1", 0.1, seen, None), at)), None)


def silenced(bench: Any, **scope: Any) -> str:
    """A silence of a day, asked for by a program, approved by a person, carried out."""
    context = tool_context(bench.services, Caller("ann", "token", may_propose=True, through="k-1"))
    filed = call("propose_silence", {"model": "churn", "until": "24h", "why": "a planned move", **scope}, context)
    assert filed.message == ""
    with bench.services.store.read() as session:
        assert session.scalar(select(Silence.id)) is None
    approve(bench.services, filed.data["proposal"]["id"], person="ben")
    execution = claim(bench.services, worker="w")
    assert execution is not None
    run(bench.services, execution)
    assert bench.proposal(filed.data["proposal"]["id"]).state == "verifying"
    with bench.services.store.read() as session:
        return session.scalars(select(Silence.id)).one()


def alerts(bench: Any) -> list[tuple[str, str | None]]:
    with bench.services.store.read() as session:
        return [(a.monitor, a.feature) for a in session.scalars(select(Alert).where(Alert.cleared_at.is_(None)))]


def test_a_silence_is_of_low_risk_and_changes_no_model():
    assert CHARACTER[ActionKind.SILENCE].risk is Risk.LOW
    assert CHARACTER[ActionKind.SILENCE].changes_model is False


def test_without_one_the_same_breach_opens_an_incident(bench):
    assert look(bench, bench.clock(), AGE) is not None


@pytest.mark.parametrize(
    ("scope", "quiet", "loud"),
    [
        ({}, [AGE, PLAN, ("performance.loss", None)], []),
        ({"feature": "age"}, [AGE, ("quality.range_share", "age")], [PLAN, ("performance.accuracy", None)]),
        ({"monitor": "quality"}, [AGE, PLAN], [("performance.loss", None)]),
        ({"monitor": "quality.null_share", "feature": "age"}, [AGE], [PLAN, ("quality.range_share", "age")]),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_it_covers_opens_nothing_and_says_so_and_the_rest_is_heard(bench, scope, quiet, loud):
    found = silenced(bench, **scope)
    at = bench.clock.advance("1h")
    assert look(bench, at, *quiet) is None
    assert alerts(bench) == []
    with bench.services.store.read() as session:
        rows = session.scalars(select(MeasurementRow).where(MeasurementRow.status == "breach")).all()
        assert {row.facts["silenced_by"] for row in rows} == {found}
        assert all(row.facts["kept"] == 1 for row in rows)
    for number, breach in enumerate(loud):
        incident = look(bench, bench.clock.advance("1h"), *quiet, breach)
        assert incident is not None, number
        assert breach in alerts(bench)
        assert not set(quiet) & set(alerts(bench))


def test_it_is_shown_and_ends_by_itself(bench):
    found = silenced(bench)
    at = bench.clock.advance("23h")
    assert look(bench, at, AGE) is None
    context = tool_context(bench.services, Caller("ann"))
    (line,) = call("models", {"model": "churn"}, context).data["models"]
    assert [one["id"] for one in line["silences"]] == [found]
    (series,) = call("measurements", {"model": "churn", "feature": "age"}, context).data["series"]
    assert series["points"][0]["silenced_by"] == found
    finding = judge(bench.services, bench.spec, at)
    assert finding is not None
    with bench.services.store.write() as session:
        settle(bench.services, session, bench.spec, finding, at)
    assert bench.clock.advance("2h") > at
    assert look(bench, bench.clock(), AGE) is not None
    assert AGE in alerts(bench)
    (line,) = call("models", {"model": "churn"}, tool_context(bench.services, Caller("ann"))).data["models"]
    assert line["silences"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_person_ends_it_sooner(bench):
    found = silenced(bench)
    with pytest.raises(InvalidInput, match="reason"):
        silence.end(bench.services, found, person="ben", reason=" ")
    with pytest.raises(NotAllowed, match="among the people"):
        silence.end(bench.services, found, person="eve", reason="x")
    with pytest.raises(NotFound):
        silence.end(bench.services, "s-nothing", person="ben", reason="x")
    silence.end(bench.services, found[:6], person="ben", reason="the move is done")
    assert bench.events(found) == ["silence ended"]
    with pytest.raises(Conflict, match="over"):
        silence.end(bench.services, found, person="ben", reason="again")
    assert look(bench, bench.clock.advance("1h"), AGE) is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_alert_that_fired_before_goes_on_with_its_incident(bench):
    incident = look(bench, bench.clock(), AGE)
    assert incident is not None
    silenced(bench)
    again = look(bench, bench.clock.advance("1h"), AGE, PLAN)
    assert again is not None
    assert again.id == incident.id
    assert alerts(bench) == [AGE]


def test_a_silence_waits_beside_a_retraining(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=2), 250)
    context = tool_context(bench.services, Caller("ann", may_propose=True))
    first = call("propose_retrain", {"model": "churn", "why": "it drifts"}, context)
    second = call("propose_silence", {"model": "churn", "until": "7d", "why": "known"}, context)
    assert (first.message, second.message) == ("", "")
    with bench.services.store.read() as session:
        assert queries.live_proposal(session, "churn", ActionKind.RETRAIN) is not None
