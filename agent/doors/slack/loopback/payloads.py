"""What the pretended Slack sends to the app: events, interactions, slash commands, in Slack's own shapes."""

from __future__ import annotations

import secrets
import time
from typing import Any

from agent.doors.slack.loopback.others import view_json
from agent.doors.slack.loopback.workspace import APP, BOT_USER, TEAM, Channel, Message, User, View, Workspace


def event(workspace: Workspace, inner: dict[str, Any]) -> dict[str, Any]:
    """An Events API callback."""
    return {
        "token": "deprecated",
        "team_id": TEAM,
        "api_app_id": APP,
        "type": "event_callback",
        "event_id": "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(time.time()),
        "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "enterprise_id": None}],
        "is_ext_shared_channel": False,
        "event": inner,
    }


def message_event(workspace: Workspace, message: Message, channel: Channel, *, mention: bool) -> dict[str, Any]:
    inner: dict[str, Any] = {
        "type": "app_mention" if mention else "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "channel": channel.id,
        "event_ts": message.ts,
        "team": workspace.user(message.user).team,
        "client_msg_id": secrets.token_hex(16),
        "blocks": [],
    }
    if message.thread_ts:
        inner["thread_ts"] = message.thread_ts
    if not mention:
        inner["channel_type"] = "im"
    return event(workspace, inner)


def person(user: User) -> dict[str, Any]:
    return {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team}


def action(
    workspace: Workspace,
    user: User,
    element: dict[str, Any],
    block_id: str,
    given: dict[str, Any],
    holder: Message | View,
) -> dict[str, Any]:
    """A click on an element of a message or a view."""
    trigger = workspace.new_trigger(user.id)
    acted: dict[str, Any] = {
        "type": element["type"],
        "action_id": element.get("action_id", ""),
        "block_id": block_id,
        "action_ts": workspace.new_ts(),
        **{key: element[key] for key in ("value", "text") if key in element},
        **given,
    }
    payload: dict[str, Any] = {
        "type": "block_actions",
        "team": {"id": TEAM, "domain": "loopback"},
        "user": person(user),
        "api_app_id": APP,
        "token": "deprecated",
        "trigger_id": trigger,
        "actions": [acted],
        "is_enterprise_install": False,
        "enterprise": None,
    }
    if isinstance(holder, Message):
        channel = workspace.channels[holder.channel]
        payload["channel"] = {"id": channel.id, "name": "directmessage" if channel.is_im else channel.name}
        payload["message"] = holder.as_json()
        payload["container"] = {
            "type": "message",
            "message_ts": holder.ts,
            "channel_id": channel.id,
            "is_ephemeral": bool(holder.only),
            **({"thread_ts": holder.thread_ts} if holder.thread_ts else {}),
        }
        payload["state"] = {"values": {}}
    else:
        payload["view"] = view_json(holder)
        payload["container"] = {"type": "view", "view_id": holder.id}
    return payload


def submission(workspace: Workspace, user: User, view: View, values: dict[str, Any]) -> dict[str, Any]:
    """A modal that was sent."""
    return {
        "type": "view_submission",
        "team": {"id": TEAM, "domain": "loopback"},
        "user": person(user),
        "api_app_id": APP,
        "token": "deprecated",
        "trigger_id": workspace.new_trigger(user.id),
        "view": {**view_json(view), "state": {"values": values}},
        "response_urls": [],
        "is_enterprise_install": False,
        "enterprise": None,
    }


def closed(workspace: Workspace, user: User, view: View) -> dict[str, Any]:
    return {
        "type": "view_closed",
        "team": {"id": TEAM, "domain": "loopback"},
        "user": person(user),
        "api_app_id": APP,
        "token": "deprecated",
        "view": view_json(view),
        "is_cleared": False,
    }


def command(
    workspace: Workspace, user: User, channel: Channel, name: str, text: str, response_url: str
) -> dict[str, Any]:
    return {
        "token": "deprecated",
        "team_id": user.team,
        "team_domain": "loopback",
        "channel_id": channel.id,
        "channel_name": "directmessage" if channel.is_im else channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": workspace.new_trigger(user.id),
    }


def elements_of(blocks: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Everything that can be acted on, with the id of its block (its number where it has none)."""
    found = []
    for number, block in enumerate(blocks):
        block_id = block.get("block_id") or f"b{number}"
        inner = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        found += [(block_id, item) for item in inner if isinstance(item, dict) and "action_id" in item]
    return found
