"""What a person sees: every page, empty and full, and nothing from outside becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from agent.store.tables import MonitorRun
from tests.agent.conftest import Bench
from tests.agent.doors.conftest import Browser
from tests.agent.doors.test_api import repair

VOID = {"meta", "link", "br", "hr", "img", "input"}
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='alert(1)",
    "APPROVED\u202e)detcejer(\u200b",
    "</title></svg></style>",
    "x" * 4000,
)


class Page(HTMLParser):
    """Checks that a page is well-formed, and keeps its tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def read(browser: Browser, path: str, status: int = 200) -> Page:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for _, attrs in page.tags:
        assert not {"style"} & set(attrs), "inline style is forbidden by the policy"
        assert not any(name.startswith("on") for name in attrs), "inline code"
    for script in page.all("script"):
        assert script.get("type") == "application/json" or (script.get("src") or "").startswith("/static/")
    for tag in ("img", "link", "script", "iframe", "a", "form"):
        for attrs in page.all(tag):
            for name in ("src", "href", "action"):
                assert (attrs.get(name) or "/").startswith(("/", "#")), attrs
    for time in page.all("time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*(\+00:00|Z)", time["datetime"] or "")
    return page


def test_an_empty_workspace(bench: Bench, browser: Browser) -> None:
    page = read(browser, "/")
    assert "All quiet" in page.text
    assert "not looked at yet" in page.text
    assert "No incident so far" in page.text


def test_no_model_at_all(bench: Bench, browser: Browser) -> None:
    from sqlalchemy import text

    with bench.services.store.engine.begin() as connection:
        connection.execute(text("DELETE FROM model"))
    page = read(browser, "/")
    assert "Nothing is under watch yet" in page.text
    assert "watchkeeper model add" in page.text


def test_all_quiet_says_when_it_looked(bench: Bench, browser: Browser) -> None:
    now = bench.clock()
    with bench.services.store.write() as session:
        session.add(
            MonitorRun(
                model="churn", window_start=now - timedelta(days=2), window_end=now, rows=7, champion="1", seconds=0.1
            )
        )
    page = read(browser, "/")
    assert "All quiet" in page.text
    assert "last look 1 Mar 2026, 12:00" in re.sub(r"\s+", " ", page.text)
    bench.clock.advance("4h")
    assert "not looked at for a while" in read(browser, "/").text


def test_the_whole_loop(browser: Browser, full: Callable[..., str]) -> None:
    incident = full()
    front = read(browser, "/")
    assert [attrs["aria-label"] for attrs in front.all("svg") if attrs.get("role") == "img"]
    for step in ("monitor", "alert", "diagnosis", "proposal", "decision", "execution", "verification", "report"):
        assert step in front.text
    page = read(browser, f"/incidents/{incident}")
    for told in ("temp moved: 1.21", "approved by ana", "Succeeded", "Read the report", "Ruled out", "Not checked"):
        assert told in page.text, told
    report = next(a["href"] for a in page.all("a") if (a["href"] or "").startswith("/reports/"))
    shown = browser.get(report or "")
    assert shown.status_code == 200
    assert "frame-src 'self'" in shown.headers["content-security-policy"]


def test_the_card_says_what_will_run_and_decides(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    front = read(browser, "/")
    assert "1 decision waits for you" in front.text
    assert f"/approvals/{wanted}" in [attrs.get("href") for attrs in front.all("a")]
    page = read(browser, f"/incidents/{bench.proposal(wanted).incident_id}")
    assert "multiply by 12" in page.text
    digest = bench.proposal(wanted).digest
    hidden = {i["name"]: i["value"] for i in page.all("input") if i.get("type") == "hidden"}
    assert hidden == {"digest": digest, "csrf": ""}, "nobody signs in here: there is nothing to forge"
    path = f"/proposals/{wanted}"
    assert browser.post(f"{path}/approve", data={"digest": digest}).status_code == 422
    assert browser.post(f"{path}/approve", data={"person": "ann"}).status_code == 409
    refused = browser.post(f"{path}/approve", data={"person": "eve", "digest": digest})
    assert refused.status_code == 403
    assert "Not done" in refused.text
    done = browser.post(f"{path}/approve", data={"person": "ann", "digest": digest})
    assert done.status_code == 303
    assert "about to start" in read(browser, done.headers["location"]).text


def test_a_rejection_by_the_page(bench: Bench, browser: Browser) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    fields = {"person": "ann", "digest": bench.proposal(wanted).digest}
    assert browser.post(f"/proposals/{wanted}/reject", data=fields).status_code == 422
    done = browser.post(f"/proposals/{wanted}/reject", data={**fields, "reason": "<b>not now</b>"})
    assert done.status_code == 303
    page = read(browser, done.headers["location"])
    assert "rejected by ann" in page.text
    assert "<b>not now</b>" in page.text


def test_the_kill_switch_is_on_every_page(browser: Browser, full: Callable[..., str]) -> None:
    incident = full()
    assert browser.post("/freeze", data={"person": "ann", "reason": "the warehouse moves"}).status_code == 303
    for path in ("/", f"/incidents/{incident}"):
        assert "the warehouse moves".capitalize() in read(browser, path).text
    assert "2 more must ask for it" in read(browser, "/").text
    assert browser.post("/unfreeze", data={"person": "ann", "reason": "moved"}).status_code == 303
    assert "ann asked to lift it; one more must." in read(browser, "/").text
    assert browser.post("/unfreeze", data={"person": "ben"}).status_code == 303
    assert "Frozen" not in read(browser, "/").text


@pytest.mark.parametrize(
    "form", [b"", b"\xff=\xfe&person=%00", b"a=1&" * 100, b"person=" + b"x" * 2**20, b"%", b"person=%ED%A0%80"]
)
def test_no_form_breaks_it(bench: Bench, browser: Browser, form: bytes) -> None:
    wanted = bench.propose(repair(bench))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for path in (
        f"/proposals/{wanted}/approve",
        f"/proposals/{wanted}/reject",
        "/proposals/p-none/approve",
        "/freeze",
        "/unfreeze",
    ):
        answer = browser.post(path, content=form, headers=headers)
        assert 400 <= answer.status_code < 500, (path, answer.status_code)
        Page(answer.text)
    assert bench.proposal(wanted).state == "pending"


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_from_outside_becomes_markup(browser: Browser, full: Callable[..., str], nasty: str) -> None:
    incident = full(title=nasty, features=(nasty,))
    for path in ("/", f"/incidents/{incident}"):
        page = read(browser, path)
        assert not page.all("img")
        assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", nasty)
        assert "\u202e" not in page.text


def test_an_error_is_a_page_with_a_way_back(browser: Browser) -> None:
    page = read(browser, "/incidents/i-none", 404)
    assert "There is no incident 'i-none'" in page.text
    assert {"href": "/", "class": "button primary"} in page.all("a")
    assert read(browser, "/no/such/page", 404).text
