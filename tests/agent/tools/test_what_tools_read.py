"""What the tools read is what the records say: states, changes, since when, what differs, what is alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from agent.conversation.records.likeness import similar
from agent.conversation.records.sight import Sight
from agent.store.tables import Alert, Incident, MeasurementRow, MonitorRun
from tests.agent.reports.story import day
from tools.catalogue import call
from tools.context import Caller, ToolContext

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BIKE = {"model": "bike-demand"}


def data(context: ToolContext, name: str, **given: Any) -> dict[str, Any]:
    result = call(name, {**BIKE, **given}, context)
    assert result.message == ""
    return result.data


def test_a_model_is_healthy_only_by_a_known_value(context: ToolContext, bench: Any):
    (line,) = data(context, "models")["models"]
    assert (line["state"], line["open_incident"] is not None, line["champion"]) == ("incident", True, "2")
    with bench.services.store.write() as session:
        for row in session.scalars(select(Incident)):
            row.state = "resolved"
        for alert in session.scalars(select(Alert)):
            alert.cleared_at = day(50)
    assert data(context, "models")["models"][0]["state"] == "warning", "the latest value is beyond its threshold"
    with bench.services.store.write() as session:
        rows = session.scalars(select(MeasurementRow).where(MeasurementRow.monitor == "performance.mae")).all()
        latest = max(rows, key=lambda row: row.window_end)
        latest.status, latest.value = "ok", 14.0
    assert data(context, "models")["models"][0]["state"] == "healthy"
    with bench.services.store.write() as session:
        row = session.get_one(MeasurementRow, latest.id)
        row.status, row.value = "no_data", None
    (line,) = data(context, "models")["models"]
    assert (line["state"], line["value"], line["estimated"]) == ("no_data", None, True)
    assert (line["estimate"]["value"], line["estimate"]["unit"]) == (3.5, "loss")


def test_drift_is_told_strongest_first_and_since_when(context: ToolContext, bench: Any):
    with bench.services.store.write() as session:
        runs = session.scalars(select(MonitorRun).order_by(MonitorRun.window_end)).all()
        for run, status in zip(runs[-4:-1], ("breach", "ok", "breach"), strict=True):
            session.add(
                MeasurementRow(
                    run_id=run.id, model="bike-demand", monitor="drift.psi", feature="temp", unit="psi", n=9,
                    window_start=run.window_start, window_end=run.window_end, value=0.3, threshold=0.1, status=status,
                    detail="", facts={},
                )
            )  # fmt: skip
    found = data(context, "drift")
    assert [one["feature"] for one in found["features"]] == ["temp", "hum", "wind"]
    assert (found["breaches"], found["checked"], found["not_checked"]) == (1, 2, 1)
    assert found["features"][0]["first_breach"] == "2026-02-18T00:00:00Z", (
        "not the breach before the look that was fine"
    )
    assert found["features"][1]["first_breach"] is None


def test_performance_says_the_change_and_the_slices(context: ToolContext):
    found = data(context, "performance", since="2026-01-21", until="2026-02-10")
    change = found["change"]
    assert (change["before"], change["after"], change["difference"]) == (14.0, 34.0, 20.0)
    assert change["low"] == pytest.approx(20 - (1.04**2 + 1.06**2) ** 0.5)
    overlapping = data(context, "performance", since="2026-02-08", until="2026-02-10")["change"]
    assert (overlapping["difference"], overlapping["low"]) == (4.0, None), "windows that share rows are not independent"
    assert found["points"][0]["window_end"] > found["points"][-1]["window_end"]
    whole = data(context, "performance")
    assert [(one["segment"], one["value"], one["overall"]) for one in whole["slices"]] == [("season=winter", 9.5, 4.0)]
    assert whole["estimated"][0]["value"] == 3.5


def test_a_diagnosis_cites_its_facts_by_ids_that_the_result_names(context: ToolContext):
    result = call("diagnosis", BIKE, context)
    known = set(result.evidence)
    cited = {one for cause in result.data["causes"] for key in ("supports", "contradicts") for one in cause[key]}
    assert cited
    assert cited <= known
    assert {fact["id"] for fact in result.data["evidence"]} <= known
    assert all(one.startswith(f"{result.data['id']}/E") for one in cited)
    (leading, *_) = result.data["causes"]
    assert leading["meaning"] == "the same inputs come to mean something else, little by little"


def test_an_incident_has_its_timeline_and_a_proposal_its_decisions(context: ToolContext):
    listed = data(context, "incidents")["incidents"]
    assert [one["state"] for one in listed] == ["waiting", "resolved"]
    old = data(context, "incidents", id=listed[1]["id"])
    assert [entry["event"] for entry in old["timeline"]][:2] == ["incident open", "incident diagnosed"]
    assert old["alerts"][0]["monitor"] == "performance.mae"
    assert [one["id"] for one in data(context, "incidents", state="unresolved")["incidents"]] == [listed[0]["id"]]
    assert [one["id"] for one in data(context, "incidents", since="5d")["incidents"]] == [listed[0]["id"]]
    done = data(context, "proposals", state="succeeded")["proposals"][0]
    assert [one["person"] for one in done["decisions"]] == ["ana"]
    assert (done["verification"]["after"], done["still_needed"], done["may_decide"]) == (27.1234, 0, [])
    waits = data(context, "proposals", state="pending")["proposals"][0]
    assert (waits["still_needed"], waits["may_decide"]) == (1, ["ann", "ben"])
    (carried,) = data(context, "executions")["executions"]
    assert (carried["approved_by"], carried["proposal"], len(carried["steps"])) == (["ana"], done["id"], 3)
    by_proposal = data(context, "executions", id=done["id"])["executions"][0]
    assert by_proposal["id"] == carried["id"]


def test_a_period_is_counted(context: ToolContext):
    found = data(context, "reports", period="30d")
    expected = {"incidents": 2, "proposed": 2, "decided": 1, "executed": 0, "helped": 1, "waiting": 1}
    assert {key: found["facts"][key] for key in expected} == expected
    assert found["models"][0]["latest"]["value"] is not None


def test_alike_is_what_shares_its_words_not_its_numbers(context: ToolContext, bench: Any):
    with bench.services.store.write() as session:
        for title in ("plan: 12 % of values are new levels", "plan: 97 % of values are new levels", "mae 24.1 is high"):
            session.add(
                Incident(
                    model="idle",
                    state="resolved",
                    severity="warning",
                    title=title,
                    opened_at=day(3),
                    resolved_at=day(4),
                )
            )
    found = call("similar_incidents", {"text": "new levels in 12 % of plan"}, context).data["similar"]
    assert [one["title"][:5] for one in found[:2]] == ["plan:", "plan:"]
    assert found[0]["similarity"] == found[1]["similarity"] > 0.5
    assert call("similar_incidents", {"text": "!!!"}, context).status == "no_data"

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "high" in text or text == "asked" else [0.0, 1.0] for text in texts]

    with bench.services.store.read() as session:
        nearest = similar(Sight(session, Caller("ann"), context.now), None, "asked", embed).data["similar"]
    assert [one["title"] for one in nearest] == ["mae 24.1 is high"]


def test_versions_are_compared(lived_in: Any):
    from agent.pipeline.tooling import tool_context

    context = tool_context(lived_in.services, Caller("ann"))
    found = call("versions", {"model": "churn", "compare": ["1", "2"]}, context).data
    assert found["champion"] == "2"
    assert [one["version"] for one in found["versions"]] == ["1", "2"]
    assert "metrics.accuracy" in {one["what"] for one in found["differences"]}
    wrong = call("versions", {"model": "churn", "compare": ["1", "9"]}, context)
    assert "has no version '9'; it has 2, 1" in wrong.message


def test_a_runbook_is_found_by_its_words_and_stays_in_its_folder(context: ToolContext, bench: Any):
    folder = bench.services.home / "runbooks"
    (folder / "labels.md").write_text("# Late labels\n\nWait a day.\n")
    (folder / "secret.md").symlink_to(bench.services.home / "approvals.yaml")
    (bench.services.home / "approvals.yaml").write_text("people: {}\n")
    found = call("runbooks", {"query": "labels are late"}, context).data["runbooks"]
    assert [one["name"] for one in found] == ["labels"]
    for name in ("../approvals", "secret", "/etc/passwd", "..\\approvals"):
        result = call("runbooks", {"name": name}, context)
        assert (result.status, "drift, labels" in result.message) == ("error", True)
