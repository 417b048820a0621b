"""The manifest asks for what the code uses, and for nothing else."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from agent.doors.slack import parse, routes
from agent.doors.slack.scopes import APP_LEVEL, METHODS, NEEDED, WITHOUT_A_CALL

ROOT = Path(__file__).parents[4]
MANIFEST = yaml.safe_load((ROOT / "deploy/slack/manifest.yaml").read_text(encoding="utf-8"))
OLDER = {"assistant_thread_started", "assistant_thread_context_changed"}
"""Events of apps that were installed with Slack's earlier assistant view, which ours is not."""
COMPOUND = {"files_upload_v2": ["files.getUploadURLExternal", "files.completeUploadExternal"]}


@cache
def called():
    """Every method of the Web API that a file which speaks of Slack names, as `chat_update` or `chat.update`."""
    by_name = {method.replace(".", "_"): [method] for method in METHODS} | COMPOUND
    by_name |= {method: [method] for method in METHODS}
    names = re.compile(rf"(?<![\w.])(?:\w+\.)?({'|'.join(map(re.escape, by_name))})\b")
    found = set()
    for package in ("agent", "notifications"):
        for path in (ROOT / package).rglob("*.py"):
            if "slack" not in str(path.relative_to(ROOT)) or "loopback" in path.parts or path.name == "scopes.py":
                continue
            for name in names.findall(path.read_text(encoding="utf-8")):
                found.update(by_name[name])
    return found


def test_every_method_that_is_called_has_its_scope_and_no_scope_is_asked_for_in_vain():
    scopes = set(MANIFEST["oauth_config"]["scopes"]["bot"])
    needed = {METHODS[method] for method in called()} - {"", APP_LEVEL}
    assert {"chat.postMessage", "views.open", "files.completeUploadExternal", "auth.test"} <= called()
    assert needed <= scopes
    assert scopes == needed | WITHOUT_A_CALL
    assert scopes == NEEDED


def test_every_event_that_is_sent_is_handled_and_the_other_way_round():
    events = {name.partition(".")[0] for name in MANIFEST["settings"]["event_subscriptions"]["bot_events"]}
    assert events == set(parse.EVENTS) - OLDER
    kinds = set(parse.EVENTS.values()) | set(parse.INTERACTIONS.values()) | {"command"}
    assert kinds == set(routes.KINDS) == set(routes.HANDLERS)


def test_it_is_socket_mode_with_the_agent_view_and_one_command():
    settings, features = MANIFEST["settings"], MANIFEST["features"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"]["is_enabled"] is True
    assert features["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    assert [command["command"] for command in features["slash_commands"]] == ["/watch"]
    assert len(features["agent_view"]["suggested_prompts"]) <= 4


def test_it_is_within_what_slack_takes():
    shown = MANIFEST["display_information"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert 174 <= len(shown["long_description"]) <= 4000
    assert len(MANIFEST["features"]["agent_view"]["agent_description"]) <= 300
    (command,) = MANIFEST["features"]["slash_commands"]
    assert len(command["description"]) <= 2000
    assert len(command["usage_hint"]) <= 1000
