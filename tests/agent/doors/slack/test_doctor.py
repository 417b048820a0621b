"""`doctor slack`: what is wrong with the connection, and what cures it, in a line each."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.commands import slack as command
from agent.pipeline.services import Services
from agent.pipeline.slack_app import SlackApp
from agent.store.tables import Model

SPEC = "name: churn\ntask: binary\nfeatures:\n  age: {type: numeric}\nowner: '#churn'\ndata_owner: '#feeds'\n"


@pytest.fixture
def examined(tmp_path, store, slack, clock, monkeypatch):
    """`examined(bot_token=…)`: exit code and lines by name, with a whole connection but for what is given."""
    with store.write() as session:
        session.add(Model(name="churn", spec=SPEC, registered_at=clock()))
    slack.add_channel("#feeds", "ann")

    def run(**given):
        whole = {"bot_token": slack.bot_token, "app_token": slack.app_token, "api_url": slack.api_url}
        services = Services(
            home=tmp_path,
            store=store,
            log=None,
            registry=None,
            policy=None,
            channel=None,
            wall=clock,
            slack=SlackApp(**{**whole, **given}),
        )
        monkeypatch.setattr("agent.commands.options.services_of", lambda home: services)
        result = CliRunner().invoke(app, ["doctor", "slack", "--json"])
        item = json.loads(result.stdout)
        assert result.exit_code == item["exit_code"]
        command.render(item)
        return item["exit_code"], {check["name"]: check for check in item["checks"]}

    return run


def test_a_whole_connection_says_so_in_every_line(examined):
    code, lines = examined()
    assert code == 0
    assert [check["says"] for check in lines.values()] == [
        "watchkeeper in Loopback (T0LOOPBACK)",
        "all 13",
        "Socket Mode opens",
        "not set, and not needed with Socket Mode",
        "Watchkeeper is in it",
        "Watchkeeper is in it",
    ]
    assert {"channel #churn", "channel #feeds"} <= set(lines)


@pytest.mark.parametrize(
    ("given", "line", "says", "cure"),
    [
        ({"bot_token": ""}, "token", "SLACK_BOT_TOKEN is not set", "xoxb-"),
        ({"bot_token": "xapp-1-loopback"}, "token", "does not start with xoxb-", "Install App"),
        ({"bot_token": "xoxb-other"}, "token", "invalid_auth", "copy it again"),
        ({"app_token": ""}, "socket", "nothing comes in", "connections:write"),
        ({"app_token": "xoxb-loopback"}, "socket", "does not start with xapp-", "app-level token"),
        ({"app_token": "xapp-1-other"}, "socket", "invalid_auth", "Socket Mode on"),
        ({"app_token": "", "signing_secret": "short"}, "signing", "too short", "copy it"),
        ({"app_token": ""}, "signing", "is not set", "Basic Information"),
    ],
)
def test_what_is_set_wrong_is_named_with_its_cure(examined, given, line, says, cure):
    code, lines = examined(**given)
    assert code == 2
    assert says in lines[line]["says"]
    assert cure in lines[line]["cure"]


def test_scopes_and_channels_that_are_missing_are_named(examined, slack):
    slack.web.scopes.discard("files:write")
    slack.workspace.channel("#churn").members.clear()
    slack.workspace.channels.pop(slack.workspace.channel("#feeds").id)
    code, lines = examined()
    assert code == 2
    assert lines["scopes"]["says"] == "missing files:write"
    assert "install the app again" in lines["scopes"]["cure"]
    assert lines["channel #churn"]["cure"] == "write /invite @Watchkeeper there"
    assert "no channel #feeds" in lines["channel #feeds"]["says"]


def test_slack_out_of_reach_is_told_from_what_is_set_wrong(examined, slack):
    slack.fail("*", error="internal_error", times=99)
    assert examined()[0] == 3
    slack.heal()
    code, lines = examined(api_url="http://127.0.0.1:9/")
    assert code == 3
    assert "SLACK_API_URL" in lines["token"]["cure"]
