"""The console as an app on a phone: it installs, approving is two taps away, a message opens what it is about."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, Served, Tab


@pytest.fixture(scope="module")
def waiting(served: Served) -> str:
    """A proposal that waits, in a workspace of a phone's owner."""
    from agent.pipeline.propose import file_proposal
    from tools import actions

    services = served.place.services
    with services.store.write() as session:
        action = actions.Rollback(model="churn", expected_version="1", to_version="2")
        options: dict[str, Any] = {"at": services.now(session), "requested_by": "watchkeeper", "why": "it is worse"}
        return str(file_proposal(services, session, served.place.spec, action, None, None, **options).id)


def test_nothing_stands_against_installing_it(served: Served, tab: Callable[..., Tab]) -> None:
    window = tab("ann", width=360)
    page = window.go("/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    cdp = window.context.new_cdp_session(page)
    manifest = cdp.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["display"] == "standalone"
    errors = [one["errorId"] for one in cdp.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert [one for one in errors if one != "in-incognito"] == []  # every window of a test is private


def test_approving_is_two_taps_away(served: Served, waiting: str, tab: Callable[..., Tab]) -> None:
    window = tab("ann", width=360)
    page = window.go("/")
    page.locator("nav.tabs a", has_text="Approvals").tap()
    page.wait_for_url("**/approvals")
    button = page.locator(f"#{waiting} details.approve summary")
    expect(button).to_be_in_viewport()
    button.tap()
    yes = page.locator(f"#{waiting} details.approve button.primary")
    expect(yes).to_be_visible()
    box = yes.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert window.axe() == []  # the form as it stands open
    assert window.overflow() == 0


def test_without_a_connection_it_says_so(served: Served, tab: Callable[..., Tab]) -> None:
    window = tab("ann", width=360)
    page = window.go("/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    window.context.set_offline(True)
    page.goto(window.address + "/approvals")
    expect(page.locator("h1")).to_have_text("No connection")
    window.context.set_offline(False)
    page.get_by_role("link", name="Try again").click()
    expect(page.locator("main")).to_contain_text("churn")


def test_a_message_is_shown_and_opens_the_proposal(served: Served, waiting: str, tab: Callable[..., Tab]) -> None:
    window = tab("ann", width=360)
    window.context.grant_permissions(["notifications"], origin=window.address)
    page = window.go("/settings")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    cdp = window.context.new_cdp_session(page)
    found: list[dict[str, Any]] = []
    cdp.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
    cdp.send("ServiceWorker.enable")
    _until(page, lambda: found)
    said = {"title": "Rollback of churn waits", "body": "risk medium", "url": f"/approvals/{waiting}", "tag": waiting}
    options = {"origin": window.address, "registrationId": found[-1]["registrationId"], "data": json.dumps(said)}
    cdp.send("ServiceWorker.deliverPushMessage", options)
    shown = _until_shown(page)
    assert shown == [said["title"]]
    worker = window.context.service_workers[-1]
    worker.evaluate(
        """async () => {
          const [one] = await self.registration.getNotifications();
          self.dispatchEvent(new NotificationEvent("notificationclick", {notification: one}));
        }"""
    )
    page.wait_for_url(f"**/approvals/{waiting}")
    expect(page.locator("h1")).to_contain_text("Rollback of churn")


def _until_shown(page: Any) -> list[str]:
    script = "navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => all.map(one => one.title))"
    shown: list[str] = _until(page, lambda: page.evaluate(script))
    return shown


def _until(page: Any, look: Callable[[], Any]) -> Any:
    """What `look` finds; the browser's events come in while it waits."""
    end = time.monotonic() + PATIENCE / 1000
    while not (found := look()) and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert found, "nothing came"
    return found
