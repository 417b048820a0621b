"""What programs do with the API: rows in, numbers out, decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent import executor
from agent.pipeline.execute import STEPS
from tests.agent.conftest import Bench
from tests.agent.doors.conftest import Browser
from tools import actions
from tools.actions import Action, ActionKind

ROW = {
    "timestamp": "2026-03-01T08:00:00Z",
    "age": 41.5,
    "plan": "a",
    "prediction": 1,
    "score": 0.8,
    "model_version": "1",
}


def repair(bench: Bench) -> Action:
    now = bench.clock()
    return actions.FixData(
        model="churn", features=("age",), repair="multiply by 12", onset=now, window_end=now, notify="#feeds"
    )


def test_rows_land_once_and_give_their_ids(bench: Bench, browser: Browser) -> None:
    rows = [{**ROW, "prediction_id": "one"}, {**ROW, "age": 42.0, "prediction_id": "two"}]
    first = browser.post("/api/v1/models/churn/predictions", json={"rows": rows}, headers={"idempotency-key": "k1"})
    assert first.status_code == 201, first.text
    assert (first.json()["stored"], first.json()["prediction_ids"]) == (2, ["one", "two"])
    again = browser.post("/api/v1/models/churn/predictions", json={"rows": rows}, headers={"idempotency-key": "k1"})
    assert again.json()["stored"] == 0
    assert again.json()["prediction_ids"] == first.json()["prediction_ids"]
    other = browser.post("/api/v1/models/churn/predictions", json={"rows": rows})
    assert (other.json()["stored"], other.json()["duplicates"]) == (0, 2)
    assert bench.services.log.count(bench.spec) == (2, 0)


def test_labels_find_their_predictions(bench: Bench, browser: Browser) -> None:
    ids = browser.post("/api/v1/models/churn/predictions", json={"rows": [ROW]}).json()["prediction_ids"]
    labels = [
        {"prediction_id": ids[0], "label": 1},
        {"prediction_id": "not-yet", "label": 0},
        {"prediction_id": "e", "label": None},
    ]
    answer = browser.post("/api/v1/models/churn/labels", json={"rows": labels})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["stored"], told["unknown"], told["first_unknown"], told["empty"]) == (2, 1, "not-yet", 1)
    assert bench.services.log.count(bench.spec) == (1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"age": "old"}, "'age'"), ({"timestamp": "yesterday"}, "'timestamp'"), ({"timestamp": None}, "'timestamp'")],
)
def test_a_bad_row_is_named_and_nothing_lands(
    bench: Bench, browser: Browser, change: dict[str, Any], said: str
) -> None:
    answer = browser.post("/api/v1/models/churn/predictions", json={"rows": [ROW, {**ROW, **change}]})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "row 2" in answer.json()["detail"]
    assert bench.services.log.count(bench.spec) == (0, 0)


def test_an_unknown_model_names_the_known(browser: Browser) -> None:
    answer = browser.get("/api/v1/models/chrun")
    assert answer.status_code == 404
    assert "churn" in answer.json()["detail"]


def test_every_list_is_there_when_nothing_is(browser: Browser) -> None:
    for path in ("/alerts", "/incidents", "/proposals", "/reports", "/audit", "/models/churn/measurements"):
        assert browser.api(path) == {"items": [], "next": None}
    assert browser.api("/models/churn/drift")["items"] == []
    assert browser.api("/models/churn/performance")["points"] == []
    assert browser.api("/models")["items"][0]["state"] == "quiet"


def test_the_whole_loop_reads_back(browser: Browser, full: Callable[..., str]) -> None:
    incident = browser.api(f"/incidents/{full()}")
    assert incident["state"] == "resolved"
    assert incident["diagnosis"]["document"]["evidence"][0]["id"] == "E1"
    assert incident["timeline"][0]["event"] == "incident open"
    proposal = browser.api(f"/proposals/{incident['proposals'][0]['id']}")
    assert (proposal["state"], proposal["verification"]["verdict"]) == ("succeeded", "succeeded")
    execution = browser.api(f"/executions/{proposal['execution_id']}")
    assert [step["name"] for step in execution["steps"]] == ["recheck", "train", "switch"]
    assert browser.api("/reports")["items"][0]["id"] == incident["report_id"]
    model = browser.api("/models/bike-demand")
    assert (model["champion"], model["state"], len(model["deployments"])) == ("2", "quiet", 2)
    performance = browser.api("/models/bike-demand/performance")
    assert (performance["metric"], performance["better"], len(performance["points"])) == ("mae", "lower", 30)
    assert browser.api("/alerts", firing=True)["items"][0]["monitor"] == "performance.mae"


@pytest.mark.parametrize("format", ["html", "md", "json"])
def test_a_report_in_each_format(browser: Browser, full: Callable[..., str], format: str) -> None:
    report = browser.api(f"/incidents/{full()}")["report_id"]
    answer = browser.get(f"/api/v1/reports/{report}", params={"format": format})
    assert answer.status_code == 200
    assert "bike-demand" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"] or format != "html"


def test_measurements_are_filtered_and_paged(browser: Browser, full: Callable[..., str]) -> None:
    full()
    first = browser.api("/models/bike-demand/measurements", monitor="performance", limit=20)
    rest = browser.api("/models/bike-demand/measurements", monitor="performance", limit=20, cursor=first["next"])
    ends = [item["window_end"] for item in first["items"] + rest["items"]]
    assert len(ends) == 30
    assert ends == sorted(ends, reverse=True)
    since = browser.api("/models/bike-demand/measurements", monitor="performance.mae", since=ends[4])
    assert len(since["items"]) == 5
    assert browser.api("/models/bike-demand/measurements", monitor="drift")["items"] == []
    assert browser.api("/models/bike-demand/measurements", feature="temp")["items"] == []


def test_an_approval_is_bound_to_the_digest_and_counts_once(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    path = f"/api/v1/proposals/{wanted}/approve"
    wrong = browser.post(path, json={"person": "ann", "digest": "0" * 64})
    assert wrong.status_code == 409
    digest = browser.api(f"/proposals/{wanted}")["digest"]
    done = browser.post(path, json={"person": "ann", "digest": digest})
    assert (done.status_code, done.json()["state"]) == (200, "approved"), done.text
    again = browser.post(path, json={"person": "ann", "digest": digest})
    assert (again.status_code, len(again.json()["approvals"])) == (200, 1)
    late = browser.post(path, json={"person": "ben", "digest": digest})
    assert late.status_code == 409
    assert "already approved" in late.json()["detail"]
    assert bench.events(wanted).count("decision approve") == 1
    assert ActionKind.FIX_DATA in STEPS


@pytest.mark.parametrize("person", ["cat", "dan", "eve", "watchkeeper"])
def test_who_may_not_decide_is_told_who_may(bench: Bench, browser: Browser, person: str) -> None:
    wanted = bench.propose(repair(bench))
    for verb in ("approve", "reject"):
        answer = browser.post(f"/api/v1/proposals/{wanted}/{verb}", json={"person": person, "reason": "x"})
        assert answer.status_code == 403
        assert "ann, ben" in answer.json()["detail"]
    assert bench.proposal(wanted).state == "pending"


def test_a_rejection_needs_a_reason_and_stays(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench))
    path = f"/api/v1/proposals/{wanted}/reject"
    assert browser.post(path, json={"person": "ann"}).status_code == 422
    assert browser.post(path, json={"person": "ann", "reason": "  "}).status_code == 422
    assert browser.post(path, json={"person": "ann", "reason": "no"}).json()["state"] == "rejected"
    assert browser.post(path, json={"person": "ann", "reason": "no"}).status_code == 200
    assert browser.post(f"/api/v1/proposals/{wanted}/approve", json={"person": "ann"}).status_code == 409


def test_an_approval_that_comes_too_late_or_is_overtaken(bench: Bench, browser: Browser) -> None:
    overtaken = bench.propose(bench.rollback(), incident=True)  # no version is champion here, so 2 is not
    answer = browser.post(f"/api/v1/proposals/{overtaken}/approve", json={"person": "ann"})
    assert answer.status_code == 409
    assert "overtaken" in answer.json()["detail"]
    assert bench.proposal(overtaken).state == "superseded"
    late = bench.propose(repair(bench))
    bench.clock.advance("3d")
    answer = browser.post(f"/api/v1/proposals/{late}/approve", json={"person": "ann"})
    assert answer.status_code == 409
    assert "expired" in answer.json()["detail"]


def test_what_runs_says_what_it_is_at_and_is_cancelled(bench: Bench, browser: Browser) -> None:
    bench.add_versions(False, True)
    wanted = bench.propose(bench.rollback(expected="1", to="2"), incident=True)
    path = f"/api/v1/proposals/{wanted}/cancel"
    assert browser.post(path, json={"person": "ann", "reason": "x"}).status_code == 409, "not approved yet"
    browser.post(f"/api/v1/proposals/{wanted}/approve", json={"person": "ann"})
    found = browser.api(f"/proposals/{wanted}")
    assert found["phase"] == "about to start"
    taken = executor.claim(bench.services, worker="w")
    assert taken is not None
    executor._intend(bench.services, taken, "recheck", 0)
    executor._note(bench.services, taken, "recheck", "asking the registry")
    assert browser.post(path, json={"person": "eve", "reason": "x"}).status_code == 403
    assert browser.post(path, json={"person": "ann", "reason": " "}).status_code == 422
    assert browser.api(f"/executions/{found['execution_id']}")["phase"] == "recheck: asking the registry"
    assert browser.post(path, json={"person": "ann", "reason": "wrong one"}).json()["state"] == "executing"
    run = browser.api(f"/executions/{found['execution_id']}")
    assert (run["cancelled"], run["state"]) == ("by ann: wrong one", "running")
    executor.run(bench.services, taken)
    ended = browser.api(f"/proposals/{wanted}")
    assert (ended["state"], ended["reason"], ended["phase"]) == ("failed", "cancelled by ann: wrong one", "")
    assert browser.post(path, json={"person": "ann", "reason": "x"}).status_code == 409


def test_the_kill_switch(browser: Browser) -> None:
    assert browser.post("/api/v1/freeze", json={"person": "ann", "reason": " "}).status_code == 422
    on = browser.post("/api/v1/freeze", json={"person": "eve", "reason": "the warehouse moves"}).json()
    assert (on["frozen"], on["by"]) == (True, "eve")
    assert browser.ask("DELETE", "/api/v1/freeze", json={"person": "eve"}).status_code == 403
    for _ in range(2):  # one person asking twice is still one person
        half = browser.ask("DELETE", "/api/v1/freeze", json={"person": "ann", "reason": "moved"}).json()
        assert (half["frozen"], half["still_needed"], half["who_can_still"]) == (True, 1, ["ben", "dan"])
        assert [(one["person"], one["reason"]) for one in half["asked_to_lift"]] == [("ann", "moved")]
    assert browser.api("/freeze") == half
    off = browser.ask("DELETE", "/api/v1/freeze", json={"person": "ben"}).json()
    assert (off["frozen"], off["by"], off["asked_to_lift"], off["still_needed"]) == (False, "", [], 0)
    assert browser.ask("DELETE", "/api/v1/freeze", json={"person": "ann"}).status_code == 409


def test_a_question_is_answered_from_the_records(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    answer = browser.post("/api/v1/ask", json={"question": "what is waiting?"}).json()
    assert wanted in answer["sources"]


def test_versions_come_from_the_registry(bench: Bench, browser: Browser) -> None:
    assert browser.api("/models/churn/versions") == {"items": [], "next": None}


def test_who_may_decide_is_explained_and_a_proposal_withdrawn(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), requested_by="cat")
    found = browser.api(f"/proposals/{wanted}/policy")
    assert (found["approvals_needed"], found["still_needed"], found["rule"]) == (1, 1, "risk.low")
    assert {name: word["allowed"] for name, word in found["people"].items()} == {
        "ann": True, "ben": True, "cat": False, "dan": False,
    }  # fmt: skip
    one = browser.api(f"/proposals/{wanted}/policy", person="dan")["people"]
    assert list(one) == ["dan"]
    assert "may not decide for the model" in one["dan"]["reason"]
    assert browser.api(f"/proposals/{wanted}")["still_needed"] == 1
    path = f"/api/v1/proposals/{wanted}/withdraw"
    assert browser.post(path, json={"person": "dan", "reason": "x"}).status_code == 403
    assert browser.post(path, json={"person": "cat", "reason": "mine"}).json()["state"] == "withdrawn"
    assert browser.post(path, json={"person": "cat", "reason": "mine"}).status_code == 409
