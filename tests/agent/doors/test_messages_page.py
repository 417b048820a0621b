"""What I want to be told, in the console; sending again; the link that ends it, with one click and without sign-in."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from agent.doors.api.app import create_app
from agent.pipeline.notify import deliver_due
from agent.pipeline.preferences import Wishes, set_wishes, wishes_of
from agent.pipeline.unsubscribe import link_of
from agent.store.changes import promise
from agent.store.tables import Delivery, Unsubscribed
from tests.agent.doors.conftest import Browser

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FORM = {
    "person": "ann", "mail": "ann@example.com", "slack": "", "severity": "critical", "models": "churn fraud-*",
    "kind_proposal": "on", "quiet_from": "22:00", "quiet_to": "07:00", "time_zone": "Europe/Berlin", "digest": "1h",
}  # fmt: skip


def kept(bench, person="ann"):
    with bench.services.store.read() as session:
        return wishes_of(session, person)


def test_wishes_are_shown_kept_and_refused_with_the_form_as_it_was(bench, browser):
    assert "person=ann" in browser.get("/settings/messages").text
    with bench.services.store.write() as session:
        set_wishes(bench.services, session, "ann", Wishes(channels={"apprise": "phone"}, digest="2d"))
    assert "every 2d" in browser.get("/settings/messages?person=ann").text
    done = browser.post("/settings/messages", data=FORM)
    assert (done.status_code, done.headers["location"]) == (303, "/settings/messages?person=ann")
    assert kept(bench) == Wishes(
        {"apprise": "phone", "mail": "ann@example.com"}, "critical", ("churn", "fraud-*"), ("proposal",),
        "22:00-07:00", "Europe/Berlin", "1h",
    )  # fmt: skip
    page = browser.get("/settings/messages?person=ann").text
    assert 'value="ann@example.com"' in page
    assert 'name="kind_proposal" checked' in page
    mistakes = (({"time_zone": "Mars"}, "Mars"), ({"slack": "#general"}, "member id"), ({"quiet_to": ""}, "both"))
    for wrong, said in mistakes:
        refused = browser.post("/settings/messages", data={**FORM, **wrong, "mail": "new@example.com"})
        assert refused.status_code == 422
        assert said in refused.text
        assert "new@example.com" in refused.text
    assert kept(bench).channels["mail"] == "ann@example.com"


def test_what_failed_is_listed_and_sent_again(bench, browser):
    with bench.services.store.write() as session:
        promise(session, key="k:1", recipient="#a", title="<i>fell</i>", body="b", subject="s", at=bench.clock())
        set_wishes(bench.services, session, "ann", Wishes(channels={"mail": "ann@example.com"}, severity="info"))
    deliver_due(bench.services)
    page = browser.get("/settings/messages?state=failed").text
    assert "&lt;i&gt;fell" in page
    assert "set WATCHKEEPER_SMTP_URL" in page
    (again,) = re.findall(r'action="(/settings/messages/n-[^"]+/retry)"', page)
    assert browser.post(again, data={"person": "ann"}).status_code == 303
    with bench.services.store.read() as session:
        assert session.scalars(select(Delivery.state).where(Delivery.channel == "mail")).all() == ["waiting"]


def test_the_link_asks_and_one_click_of_a_mail_program_ends_it(bench):
    services = replace(bench.services, public_url="http://127.0.0.1:8000")
    browser = Browser(create_app(services))
    link = urlsplit(link_of(services, "mail", "ann@example.com"))
    path = f"{link.path}?{link.query}"

    def silent():
        with services.store.read() as session:
            return session.get(Unsubscribed, ("mail", "ann@example.com")) is not None

    assert "ann@example.com" in browser.get(path).text
    assert not silent(), "programs that look at links open them too"
    done = browser.post(path, data={"List-Unsubscribe": "One-Click"})
    assert (done.status_code, silent()) == (200, True)
    assert "Subscribe again" in done.text
    assert browser.post(f"{path}&again=true").is_success
    assert not silent()
    assert browser.post(f"{link.path}?token=forged").status_code == 403
