"""The loopback Slack's page: what one person sees and does, over HTTP as a browser has it."""

from __future__ import annotations

import httpx
import pytest
from slack_sdk import WebClient

from agent.doors.slack.loopback.page import routes
from agent.doors.slack.loopback.server import LoopbackSlack

BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "Approve"}, "action_id": "approve", "value": "p-1"}


@pytest.fixture(scope="module")
def page():
    made = LoopbackSlack()
    made.add_routes(routes(made))
    with made:
        for name in ("ann", "ben"):
            made.add_user(name)
        made.add_channel("#churn", "ann", "ben")
        with httpx.Client(base_url=made.url, timeout=10) as browser:
            yield made, browser


def do(browser, what, who, **more):
    return browser.post("/do", json={"what": what, "user": who, **more}).json()


def test_the_page_and_its_parts_are_there_and_run_no_foreign_script(page):
    _, browser = page
    shown = browser.get("/")
    assert "script-src 'self'" in shown.headers["content-security-policy"]
    for part in ("page.css", "blocks.css", "mrkdwn.js", "blocks.js", "page.js"):
        assert f"/static/{part}" in shown.text
        assert browser.get(f"/static/{part}").status_code == 200
    assert "innerHTML" not in "".join(browser.get(f"/static/{name}.js").text for name in ("mrkdwn", "blocks", "page"))


def test_a_person_sees_what_is_for_them_and_what_they_do_reaches_the_app(page):
    slack, browser = page
    client = WebClient(slack.bot_token, base_url=slack.api_url)
    ann, ben = slack.workspace.user("ann").id, slack.workspace.user("ben").id
    channel = slack.workspace.channel("#churn").id
    card = client.chat_postMessage(
        channel=channel, text="card", blocks=[{"type": "actions", "elements": [BUTTON]}], unfurl_links=False
    )
    client.chat_postEphemeral(channel=channel, user=ann, text="for ann")

    def seen(who):
        return [item["text"] for item in browser.get("/state", params={"user": who}).json()["messages"]]

    assert seen(ann) == ["card", "for ann"]
    assert seen(ben) == ["card"]
    assert do(browser, "say", ben, channel=channel, text="hello all") == {"sent": False}, "nobody asked the app"
    click = {"channel": channel, "ts": card["ts"], "action": "approve", "value": "p-1"}
    answer = do(browser, "click", ben, **{"in": "message"}, **click)
    assert "did not answer in time" in answer["error"], "no app is running"
    payload = slack.deliveries[-1].payload
    assert (payload["user"]["id"], payload["actions"][0]["value"]) == (ben, "p-1")
    assert browser.post("/do", json={"what": "say"}, headers={"origin": "http://evil.example"}).status_code == 403
