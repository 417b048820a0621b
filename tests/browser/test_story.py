"""The whole story in a browser: sign in, an incident arises, why, a question, approval, recovery, the report."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import func, select

from agent.pipeline.passwords import set_password
from agent.pipeline.people import found
from agent.store import audit
from agent.store.tables import Approval, Execution, Proposal
from tests.browser.conftest import Served, Tab
from tests.browser.workspace import LOOK

SECOND = 1_000 * float(os.environ.get("WITHIN", "60"))
"""Within a second (WITHIN=1), on a machine that has one; in milliseconds. A busy machine catches only what hangs."""
PASSWORD = "a long watch at sea"


@pytest.fixture(scope="module")
def world() -> Iterator[ThreadPoolExecutor]:
    """What happens outside the browser happens in a thread: the browser's own loop must not be held up."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_from_signing_in_to_the_report(served: Served, tab: Callable[..., Tab], world: ThreadPoolExecutor) -> None:
    place = served.place
    with place.services.store.read() as session:
        ann = found(session, "ann")
    assert ann is not None
    world.submit(set_password, place.services, ann.id, PASSWORD, by="test").result(60)
    window = tab(None)
    page = window.go("/")
    page.get_by_label(re.compile("name", re.IGNORECASE)).first.fill("ann")
    page.get_by_label(re.compile("password", re.IGNORECASE)).first.fill(PASSWORD)
    page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).first.click()
    page.wait_for_url(window.address + "/")
    expect(page.locator("body")).to_have_class(re.compile("live"))

    wanted = world.submit(place.go_wrong).result(120)  # the incident arises, and the page that stands open says so
    expect(page.locator(".places a[href='/approvals'] .count")).to_contain_text("1")
    with place.services.store.read() as session:
        incident = session.get_one(Proposal, wanted).incident_id
    page.goto(window.address + f"/incidents/{incident}")
    expect(page.locator("main")).to_contain_text(re.compile("bad deployment", re.IGNORECASE))

    page.goto(window.address + "/chat")
    page.get_by_label("Your question").fill("What is wrong with churn?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.watchkeeper .sources a").first).to_be_visible(timeout=30_000)
    page.locator(".turn.watchkeeper .sources a").first.click()
    expect(page.locator(".evidence[open] pre").first).to_be_visible()

    page.goto(window.address + "/approvals")
    page.keyboard.press("j")
    page.keyboard.press("a")
    card = page.locator(f"#{wanted}")
    expect(card.locator("details.approve")).to_have_attribute("open", "")  # by keys alone, to the end
    expect(card.locator("details.approve input:focus")).to_have_count(1)  # the cursor is in the note
    page.keyboard.press("Enter")
    page.wait_for_url(window.address + f"/approvals/{wanted}")
    expect(page.locator("#lead .pill")).to_contain_text("approved")
    assert world.submit(place.execute).result(120) == 1
    expect(page.locator("#lead .pill")).to_contain_text("verifying")
    assert place.services.registry.alias("churn", "champion") == "1"

    def recover() -> None:
        for turn in range(8):
            place.pass_time(LOOK, seed=300 + turn)
            with place.services.store.read() as session:
                if session.get_one(Proposal, wanted).ended_at is not None:
                    return

    world.submit(recover).result(120)
    expect(page.locator("#lead .pill")).to_contain_text("succeeded")
    page.goto(window.address + "/reports?model=churn")
    page.locator("#list th a").first.click()
    assert page.locator("iframe").get_attribute("sandbox") == "allow-popups"
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("churn")
    assert window.errors == []
    assert window.foreign == []


def test_two_approvers_at_once(served: Served, tab: Callable[..., Tab], world: ThreadPoolExecutor) -> None:
    place = served.place

    def propose() -> str:
        from agent.pipeline.propose import file_proposal
        from tools import actions

        services, spec = place.services, place.spec
        window = {"onset": place.arrived - timedelta(hours=6), "window_end": place.arrived}
        action = actions.FixData(model="churn", features=("age",), repair="multiply by 12", notify="#feeds", **window)
        with services.store.write() as session:
            options = {"at": services.now(session), "requested_by": "watchkeeper", "why": "age is in months"}
            return str(file_proposal(services, session, spec, action, None, None, **options).id)

    wanted = world.submit(propose).result(60)
    windows = [tab("ann"), tab("ben")]
    for window in windows:
        page = window.go("/approvals")
        page.locator(f"#{wanted} summary", has_text="Approve").click()
        page.locator(f"#{wanted} details.approve button.primary").wait_for()
    for window in windows:  # both are sent before either is answered
        window.page.evaluate("id => { document.querySelector(`#${id} details.approve form`).requestSubmit() }", wanted)
    for window in windows:
        window.page.wait_for_url(re.compile(f"/(approvals|proposals)/{wanted}"))
        expect(window.page.locator("#lead .pill")).to_contain_text("approved", timeout=SECOND)
        expect(window.page.locator("#who")).to_contain_text("1 of 1", timeout=SECOND)
    assert world.submit(place.execute).result(60) == 1
    for window in windows:
        expect(window.page.locator("#lead .pill")).not_to_contain_text("approved", timeout=SECOND)
    with place.services.store.read() as session:
        count = select(func.count()).select_from(Execution).where(Execution.proposal_id == wanted)
        assert session.scalar(count) == 1
        assert session.scalar(select(func.count()).select_from(Approval).where(Approval.proposal_id == wanted)) == 1
        assert audit.verify(session).whole
    assert [error for window in windows for error in window.errors if "409" not in error] == []
