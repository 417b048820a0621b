"""The pages where people act: empty and full, what they do, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from agent.store.tables import Acknowledgement, Alert, Device, Model, Preference, Report
from tests.agent.conftest import Bench
from tests.agent.doors.conftest import Browser
from tests.agent.doors.test_api import repair
from tests.agent.doors.test_pages import NASTY, read

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PAGES = ("/approvals", "/chat", "/activity", "/alerts", "/reports", "/settings", "/settings/models/churn")


def test_every_page_of_an_empty_workspace_says_what_comes(browser: Browser) -> None:
    told = {path: re.sub(r"\s+", " ", read(browser, path).text) for path in PAGES}
    assert "Nothing waits for a decision" in told["/approvals"]
    assert "Nothing has happened yet" in told["/activity"]
    assert "No alert is firing" in told["/alerts"]
    assert "No report yet" in told["/reports"]
    assert "What is wrong?" in told["/chat"]
    assert "Nobody signs in here yet" in told["/settings"]


def test_a_decision_from_the_queue_comes_back_to_the_proposal(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    queue = read(browser, "/approvals")
    assert "1 decision waits" in queue.text
    assert {"type": "hidden", "name": "back", "value": "approvals"} in queue.all("input")
    form = {"person": "ann", "digest": bench.proposal(wanted).digest, "back": "approvals"}
    done = browser.post(f"/proposals/{wanted}/approve", data=form)
    assert (done.status_code, done.headers["location"]) == (303, f"/approvals/{wanted}")
    page = read(browser, done.headers["location"])
    assert "1 of 1" in re.sub(r"\s+", " ", page.text)
    late = browser.post(f"/proposals/{wanted}/reject", data={**form, "person": "ben", "reason": "no"})
    assert late.status_code == 409
    assert "Not done." in late.text
    assert "Who decides" in late.text, "who was too late sees the proposal as it is"


def test_withdraw_and_cancel(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    form = {"person": "ann", "back": "approvals"}
    assert browser.post(f"/proposals/{wanted}/withdraw", data=form).status_code == 422
    browser.post(f"/proposals/{wanted}/withdraw", data={**form, "reason": "wrong feature"})
    assert bench.proposal(wanted).state == "withdrawn"
    other = bench.propose(repair(bench))
    browser.post(f"/proposals/{other}/approve", data={**form, "digest": bench.proposal(other).digest})
    assert "Cancel…" in read(browser, f"/approvals/{other}").text
    browser.post(f"/proposals/{other}/cancel", data={**form, "reason": "not today"})
    assert bench.proposal(other).state == "withdrawn"


def test_the_activity_is_filtered_exported_and_verified(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench))
    browser.post("/freeze", data={"person": "ann", "reason": "the warehouse moves"})
    assert "the warehouse moves" in read(browser, "/activity?actor=ann").text
    assert wanted not in read(browser, "/activity?actor=ann").text
    assert wanted in read(browser, f"/activity?subject={wanted}").text
    assert browser.get("/activity?since=yesterday").status_code == 422
    assert "Chain verified" in browser.get("/activity/verified").text
    lines = browser.get("/activity/export").text.splitlines()
    assert len(lines) == 2
    assert '"event":"frozen"' in lines[1]


def test_a_broken_chain_is_said(bench: Bench, browser: Browser) -> None:
    from sqlalchemy import text

    bench.propose(repair(bench))
    with bench.services.store.engine.begin() as connection:
        for trigger in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text("UPDATE audit SET actor = 'mallory' WHERE seq = 1"))
    assert "The chain is broken" in browser.get("/activity/verified").text


def test_an_alert_is_taken_on_by_one(bench: Bench, browser: Browser, full: Callable[..., str]) -> None:
    full()
    with bench.services.store.write() as session:
        alert = session.query(Alert).first()
        alert.cleared_at = None
        wanted = alert.id
    assert "Acknowledge…" in read(browser, "/alerts").text
    assert browser.post(f"/alerts/{wanted}/acknowledge", data={"person": "ann", "note": "looking"}).status_code == 303
    assert browser.post(f"/alerts/{wanted}/acknowledge", data={"person": "ben"}).status_code == 409
    page = read(browser, "/alerts")
    assert "looking" in page.text
    with bench.services.store.read() as session:
        assert session.get_one(Acknowledgement, wanted).person == "ann"
    assert bench.events(wanted) == ["alert acknowledged"]


def test_a_silence_is_asked_for_and_decided_like_any_action(bench: Bench, browser: Browser) -> None:
    bench.add_versions(False)
    form = {"person": "ann", "model": "churn", "monitor": "drift", "life": "24h", "reason": "a known sale"}
    assert browser.post("/alerts/silence", data={**form, "life": "9y"}).status_code == 422
    asked = browser.post("/alerts/silence", data=form)
    assert asked.status_code == 303, asked.text
    assert bench.proposal(asked.headers["location"].rpartition("/")[2]).kind == "silence"


def test_a_report_on_demand(bench: Bench, browser: Browser) -> None:
    made = browser.post("/reports", data={"model": "churn", "period": "7d"})
    assert made.status_code == 303
    page = read(browser, made.headers["location"])
    assert {"sandbox": "allow-popups"}.items() <= page.all("iframe")[0].items()
    assert browser.post("/reports", data={"model": "churn", "period": "1000y"}).status_code == 422
    beside = browser.post("/reports", data={"model": "churn", "period": "30d", "kind": "comparison"})
    assert "Comparison with the time before" in browser.get(f"/api/v1{beside.headers['location']}").text
    assert browser.post("/reports", data={"model": "churn", "period": "7d", "kind": "novel"}).status_code == 422
    with bench.services.store.read() as session:
        assert {(one.kind, one.model) for one in session.query(Report)} == {
            ("period", "churn"),
            ("comparison", "churn"),
        }
    assert read(browser, "/reports?model=churn").all("iframe") == []


def test_a_spec_is_checked_and_shown_before_it_is_kept(bench: Bench, browser: Browser) -> None:
    path = "/settings/models/churn"
    seen = next(i["value"] for i in read(browser, path).all("input") if i.get("name") == "seen")
    with bench.services.store.read() as session:
        before = session.get_one(Model, "churn").spec
    wrong = browser.post(path, data={"seen": seen, "spec": before.replace("window: 2d", "window: soon")})
    assert wrong.status_code == 422
    assert "churn:" in wrong.text, "the line is named"
    after = before.replace("window: 2d", "window: 3d")
    shown = browser.post(path, data={"seen": seen, "spec": after})
    assert "What changes" in shown.text
    with bench.services.store.read() as session:
        assert session.get_one(Model, "churn").spec == before, "nothing is kept until it was looked at"
    kept = browser.post(path, data={"seen": seen, "spec": after, "save": "yes", "person": "ann"})
    assert "Saved" in kept.text
    assert bench.events("churn") == ["model spec replaced"]
    again = browser.post(path, data={"seen": seen, "spec": before, "save": "yes", "person": "ben"})
    assert again.status_code == 409, "somebody else changed it meanwhile"


def test_a_device_subscribes_and_stops(bench: Bench, browser: Browser) -> None:
    keys = {"p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"}
    body = {"endpoint": "https://push.example.net/1", "keys": {**keys, "auth": "tBHItJI5svbpez7KI4CCXg"}, "label": "x"}
    assert browser.post("/push/subscribe", json={**body, "person": "ann", "keys": {"p256dh": "x", "auth": "y"}}
                        ).status_code == 422  # fmt: skip
    assert browser.post("/push/subscribe", json=body).status_code == 422, "nobody is named"
    assert browser.post("/push/subscribe", json={**body, "person": "ann"}).status_code == 201
    with bench.services.store.read() as session:
        assert session.query(Device).one().person == "ann"
        assert session.get_one(Preference, "ann").channels == {"push": "ann"}
    browser.post("/push/unsubscribe", json={"endpoint": body["endpoint"], "person": "ann"})
    with bench.services.store.read() as session:
        assert session.query(Device).count() == 0
        assert session.get_one(Preference, "ann").channels == {}


def test_the_app_installs_from_what_is_served(browser: Browser) -> None:
    manifest = browser.get("/manifest.webmanifest")
    assert manifest.headers["content-type"] == "application/manifest+json"
    for icon in manifest.json()["icons"]:
        assert browser.get(icon["src"]).status_code == 200
    assert browser.get("/sw.js").headers["content-type"].startswith("text/javascript")
    assert "No connection" in read(browser, "/offline").text


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_from_outside_becomes_markup(
    bench: Bench, browser: Browser, full: Callable[..., str], nasty: str
) -> None:
    full(title=nasty, features=(nasty,))
    with bench.services.store.write() as session:
        for alert in session.query(Alert):
            alert.detail, alert.feature, alert.cleared_at = nasty, nasty, None
    for path in PAGES[:-1]:
        page = read(browser, path)
        assert not page.all("img")
        assert "\u202e" not in page.text
