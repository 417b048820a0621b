"""The other methods: assistant.*, conversations.*, files.*, reactions.*, users.*, views.*, auth.test."""

from __future__ import annotations

from typing import Any

from agent.doors.slack.loopback.chat import root_of, writable
from agent.doors.slack.loopback.methods import Answer, Arguments, method
from agent.doors.slack.loopback.shapes import Found, items, record, string
from agent.doors.slack.loopback.surfaces import ApiError, check_view
from agent.doors.slack.loopback.workspace import APP, BOT, BOT_USER, TEAM, Channel, File, Message, View, Workspace

MOST_FILE = 1024**3
PROMPTS = items(record({"title": string(75), "message": string(3000)}), 4)


@method("auth.test")
def auth_test(workspace: Workspace, arguments: Arguments) -> Answer:
    names = {"team": "Loopback", "user": "watchkeeper", "url": "https://loopback.slack.com/"}
    return {**names, "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT, "is_enterprise_install": False}


@method("bots.info", "", "bot team_id")
def bots_info(workspace: Workspace, arguments: Arguments) -> Answer:
    return {"bot": {"id": BOT, "deleted": False, "name": "Watchkeeper", "user_id": BOT_USER, "app_id": APP}}


@method("users.info", "user", "include_locale")
def users_info(workspace: Workspace, arguments: Arguments) -> Answer:
    user = workspace.users.get(arguments["user"])
    if user is None:
        raise ApiError("user_not_found")
    profile = {"real_name": user.real_name, "display_name": user.name, "email": f"{user.name}@loopback.example"}
    flags = {"deleted": user.deleted, "is_bot": user.is_bot, "is_stranger": user.team != TEAM}
    shown = {"id": user.id, "team_id": user.team, "name": user.name, "real_name": user.real_name, "tz": user.tz}
    return {"user": {**shown, **flags, "profile": profile}}


def channel_json(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.is_im and not channel.private,
        "is_private": channel.private or channel.is_im,
        "is_im": channel.is_im,
        "is_archived": channel.archived,
        "is_member": BOT_USER in channel.members,
        "num_members": len(channel.members),
        **({"user": channel.user} if channel.is_im else {}),
    }


def visible(workspace: Workspace, key: str) -> Channel:
    """By id only, as Slack has it. Raises: ApiError."""
    channel = workspace.channels.get(key)
    if channel is None or (channel.private and BOT_USER not in channel.members):
        raise ApiError("channel_not_found")
    return channel


@method("conversations.info", "channel", "include_num_members include_locale")
def conversations_info(workspace: Workspace, arguments: Arguments) -> Answer:
    return {"channel": channel_json(visible(workspace, arguments["channel"]))}


@method("conversations.members", "channel", "cursor limit")
def conversations_members(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = visible(workspace, arguments["channel"])
    return paged("members", sorted(channel.members), arguments)


@method("conversations.list", "", "cursor limit types exclude_archived team_id")
def conversations_list(workspace: Workspace, arguments: Arguments) -> Answer:
    kinds = str(arguments.get("types", "public_channel")).split(",")
    found = []
    for channel in workspace.channels.values():
        kind = "im" if channel.is_im else "private_channel" if channel.private else "public_channel"
        hidden = channel.private and BOT_USER not in channel.members
        if kind in kinds and not hidden and not (arguments.get("exclude_archived") and channel.archived):
            found.append(channel_json(channel))
    return paged("channels", found, arguments)


def paged(name: str, found: list[Any], arguments: Arguments) -> Answer:
    start, limit = int(arguments.get("cursor") or 0), arguments.get("limit", 100)
    if not 1 <= limit <= 1000:
        raise ApiError("invalid_limit")
    following = str(start + limit) if start + limit < len(found) else ""
    return {name: found[start : start + limit], "response_metadata": {"next_cursor": following}}


@method("conversations.join", "channel")
def conversations_join(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = visible(workspace, arguments["channel"])
    channel.members.add(BOT_USER)
    workspace.changed()
    return {"channel": channel_json(channel)}


@method("conversations.open", "", "users channel return_im prevent_creation")
def conversations_open(workspace: Workspace, arguments: Arguments) -> Answer:
    key = arguments.get("users") or arguments.get("channel")
    if not key or "," in key or key not in workspace.users:
        raise ApiError("user_not_found")
    if workspace.users[key].deleted:
        raise ApiError("user_disabled")
    return {"channel": {"id": workspace.direct(key).id}}


@method("conversations.history", "channel", "cursor limit latest oldest inclusive include_all_metadata")
def conversations_history(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel"])
    found = [message.as_json() for message in reversed(workspace.in_channel(channel.id))]
    return paged("messages", found, arguments)


@method("conversations.replies", "channel ts", "cursor limit latest oldest inclusive include_all_metadata")
def conversations_replies(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel"])
    root = root_of(workspace, channel, arguments["ts"])
    return paged("messages", [message.as_json() for message in workspace.in_channel(channel.id, root)], arguments)


@method("reactions.add", "channel name timestamp")
def reactions_add(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel"])
    who = workspace.message(channel.id, arguments["timestamp"]).reactions.setdefault(arguments["name"], set())
    if BOT_USER in who:
        raise ApiError("already_reacted")
    who.add(BOT_USER)
    workspace.changed()
    return {}


@method("assistant.threads.setStatus", "channel_id thread_ts", "status loading_messages icon_emoji icon_url username")
def set_status(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel_id"])
    found = Found()
    string(100, 0)(arguments.get("status", ""), "/status", found)
    if "loading_messages" in arguments:
        items(string(100), 10)(arguments["loading_messages"], "/loading_messages", found)
    if found.faults:
        raise ApiError("invalid_arguments", *found.faults)
    key = (channel.id, root_of(workspace, channel, arguments["thread_ts"]))
    if arguments.get("status"):
        workspace.statuses[key] = arguments["status"]
    else:
        workspace.statuses.pop(key, None)
    workspace.changed()
    return {}


@method("assistant.threads.setTitle", "channel_id thread_ts title")
def set_title(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel_id"])
    workspace.titles[channel.id, arguments["thread_ts"]] = arguments["title"]
    workspace.changed()
    return {}


@method("assistant.threads.setSuggestedPrompts", "channel_id prompts", "thread_ts title")
def set_prompts(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel_id"])
    found = Found()
    PROMPTS(arguments["prompts"], "/prompts", found)
    if found.faults:
        raise ApiError("invalid_arguments", *found.faults)
    workspace.prompts[channel.id, arguments.get("thread_ts", "")] = arguments["prompts"]
    workspace.changed()
    return {}


@method("files.getUploadURLExternal", "filename length", "alt_txt snippet_type")
def get_upload_url(workspace: Workspace, arguments: Arguments) -> Answer:
    if not 0 < arguments["length"] <= MOST_FILE:
        raise ApiError("file_upload_size_restricted" if arguments["length"] > 0 else "invalid_arguments")
    if len(arguments["filename"]) > 255:
        raise ApiError("filename_too_long")
    if len(arguments.get("alt_txt", "")) > 1000:
        raise ApiError("alt_txt_too_large")
    file = File(workspace.new_id("F"), arguments["filename"], arguments["length"], arguments.get("alt_txt", ""))
    workspace.files[file.id] = file
    return {"upload_url": f"{{base}}/upload/v1/{file.id}", "file_id": file.id}


@method("files.completeUploadExternal", "files", "channel_id channels initial_comment thread_ts blocks")
def complete_upload(workspace: Workspace, arguments: Arguments) -> Answer:
    given = arguments["files"]
    if not isinstance(given, list) or not given:
        raise ApiError("invalid_arguments")
    files = [workspace.files.get(item.get("id")) for item in given]
    uploaded = [file for file in files if file is not None and file.content is not None]
    if len(uploaded) != len(given):
        raise ApiError("file_not_found")
    for file, item in zip(uploaded, given, strict=True):
        file.title = item.get("title") or file.name
    key = arguments.get("channel_id") or arguments.get("channels")
    if key:
        channel = visible(workspace, str(key).split(",", maxsplit=1)[0])
        writable(workspace, channel.id)
        thread = root_of(workspace, channel, arguments["thread_ts"]) if arguments.get("thread_ts") else ""
        workspace.add_message(
            Message(
                channel.id,
                workspace.new_ts(),
                BOT_USER,
                text=arguments.get("initial_comment", ""),
                thread_ts=thread,
                files=[file.id for file in uploaded],
            )
        )
        for file in uploaded:
            file.shared = True
    return {"files": [{"id": file.id, "title": file.title} for file in uploaded]}


@method("files.info", "file", "count cursor limit page")
def files_info(workspace: Workspace, arguments: Arguments) -> Answer:
    file = workspace.files.get(arguments["file"])
    if file is None or file.content is None:
        raise ApiError("file_not_found")
    return {"file": {"id": file.id, "name": file.name, "title": file.title, "size": file.length, "alt_txt": file.alt}}


@method("files.delete", "file")
def files_delete(workspace: Workspace, arguments: Arguments) -> Answer:
    if workspace.files.pop(arguments["file"], None) is None:
        raise ApiError("file_not_found")
    return {}


@method("views.open", "view", "trigger_id interactivity_pointer")
def views_open(workspace: Workspace, arguments: Arguments) -> Answer:
    check_view(arguments["view"], "modal")
    user = workspace.take_trigger(arguments.get("trigger_id", ""))
    return {"view": view_json(_opened(workspace, user, arguments["view"]))}


@method("views.push", "view", "trigger_id interactivity_pointer")
def views_push(workspace: Workspace, arguments: Arguments) -> Answer:
    check_view(arguments["view"], "modal")
    user = workspace.take_trigger(arguments.get("trigger_id", ""))
    stack = [view for view in workspace.views.values() if view.user == user and view.open]
    if len(stack) >= 3:
        raise ApiError("push_limit_reached")
    return {"view": view_json(_opened(workspace, user, arguments["view"]))}


def _opened(workspace: Workspace, user: str, body: dict[str, Any]) -> View:
    view = View(workspace.new_id("V"), user, "modal", body, workspace.new_ts(), body.get("external_id", ""))
    if view.external_id and any(v.external_id == view.external_id and v.open for v in workspace.views.values()):
        raise ApiError("duplicate_external_id")
    workspace.views[view.id] = view
    workspace.changed()
    return view


@method("views.update", "view", "view_id external_id hash")
def views_update(workspace: Workspace, arguments: Arguments) -> Answer:
    check_view(arguments["view"], "modal")
    by_id = workspace.views.get(arguments.get("view_id", ""))
    external = arguments.get("external_id")
    by_name = next((v for v in workspace.views.values() if external and v.external_id == external), None)
    view = by_id or by_name
    if view is None or not view.open:
        raise ApiError("not_found")
    if arguments.get("hash") and arguments["hash"] != view.hash:
        raise ApiError("hash_conflict")
    view.body, view.hash, view.errors = arguments["view"], workspace.new_ts(), {}
    workspace.changed()
    return {"view": view_json(view)}


@method("views.publish", "user_id view", "hash")
def views_publish(workspace: Workspace, arguments: Arguments) -> Answer:
    check_view(arguments["view"], "home")
    user = workspace.user(arguments["user_id"])
    before = workspace.homes.get(user.id)
    if arguments.get("hash") and (before is None or before.hash != arguments["hash"]):
        raise ApiError("hash_conflict")
    home = View(before.id if before else workspace.new_id("V"), user.id, "home", arguments["view"], workspace.new_ts())
    workspace.homes[user.id] = home
    workspace.changed()
    return {"view": view_json(home)}


def view_json(view: View) -> dict[str, Any]:
    """As Slack gives it in answers and payloads."""
    fixed = {"id": view.id, "team_id": TEAM, "app_id": APP, "bot_id": BOT, "hash": view.hash, "root_view_id": view.id}
    return {**view.body, **fixed, "external_id": view.external_id, "type": view.kind}
