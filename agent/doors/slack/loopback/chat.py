"""chat.*: posting, editing, streaming."""

from __future__ import annotations

from agent.doors.slack.loopback.methods import Answer, Arguments, method
from agent.doors.slack.loopback.surfaces import (
    ApiError,
    check_markdown_text,
    check_message,
    check_message_blocks,
    check_metadata,
)
from agent.doors.slack.loopback.workspace import BOT_USER, TEAM, Channel, Message, Workspace

CONTENT = "text blocks attachments markdown_text metadata mrkdwn link_names parse"
SENT = f"thread_ts reply_broadcast unfurl_links unfurl_media icon_emoji icon_url username client_msg_id {CONTENT}"


def writable(workspace: Workspace, key: str) -> Channel:
    """A channel that the app may write in. Raises: ApiError."""
    channel = workspace.channel(key)
    if channel.archived:
        raise ApiError("is_archived")
    if BOT_USER not in channel.members:
        raise ApiError("channel_not_found" if channel.private else "not_in_channel")
    return channel


def own(workspace: Workspace, channel: str, ts: str, error: str) -> Message:
    """A message of the app. Raises: ApiError."""
    message = workspace.message(workspace.channel(channel).id, ts)
    if message.user != BOT_USER:
        raise ApiError(error)
    return message


def content(arguments: Arguments) -> dict[str, object]:
    return {
        "text": arguments.get("text", ""),
        "blocks": arguments.get("blocks", []),
        "attachments": arguments.get("attachments", []),
        "markdown": arguments.get("markdown_text", ""),
        "metadata": arguments.get("metadata"),
    }


@method("chat.postMessage", "channel", SENT)
def post_message(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel"])
    thread = arguments.get("thread_ts", "")
    if thread:
        thread = root_of(workspace, channel, thread)
    check_message(arguments)
    broadcast = bool(thread and arguments.get("reply_broadcast"))
    message = Message(
        channel.id,
        workspace.new_ts(),
        BOT_USER,
        thread_ts=thread,
        broadcast=broadcast,
        **content(arguments),  # type: ignore[arg-type]
    )
    workspace.add_message(message)
    return {"channel": channel.id, "ts": message.ts, "message": message.as_json()}


def root_of(workspace: Workspace, channel: Channel, ts: str) -> str:
    """The root of the thread that a message is in. Raises: ApiError."""
    found = workspace.message(channel.id, ts, "thread_not_found")
    return found.thread_ts or found.ts


@method("chat.postEphemeral", "channel user", SENT)
def post_ephemeral(workspace: Workspace, arguments: Arguments) -> Answer:
    channel, user = writable(workspace, arguments["channel"]), workspace.user(arguments["user"])
    if user.id not in channel.members:
        raise ApiError("user_not_in_channel")
    check_message({**arguments, "unfurl_links": False})
    message = Message(
        channel.id,
        workspace.new_ts(),
        BOT_USER,
        thread_ts=arguments.get("thread_ts", ""),
        only=user.id,
        **content(arguments),  # type: ignore[arg-type]
    )
    workspace.add_message(message)
    return {"message_ts": message.ts}


@method("chat.update", "channel ts", f"reply_broadcast file_ids as_user {CONTENT}")
def update(workspace: Workspace, arguments: Arguments) -> Answer:
    message = own(workspace, arguments["channel"], arguments["ts"], "cant_update_message")
    if message.streaming:
        raise ApiError("streaming_state_conflict")
    check_message(arguments, update=True)
    message.history.append(message.as_json())
    for name, value in content(arguments).items():
        if name != "metadata" or value is not None:
            setattr(message, name, value)
    message.edits += 1
    workspace.changed()
    return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": message.as_json()}


@method("chat.delete", "channel ts", "as_user")
def delete(workspace: Workspace, arguments: Arguments) -> Answer:
    message = own(workspace, arguments["channel"], arguments["ts"], "cant_delete_message")
    message.deleted = True
    workspace.changed()
    return {"channel": message.channel, "ts": message.ts}


@method("chat.getPermalink", "channel message_ts")
def permalink(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = workspace.channel(arguments["channel"])
    message = workspace.message(channel.id, arguments["message_ts"])
    thread = f"?thread_ts={message.thread_ts}&cid={channel.id}" if message.thread_ts else ""
    path = f"archives/{channel.id}/p{message.ts.replace('.', '')}{thread}"
    return {"channel": channel.id, "permalink": f"https://loopback.slack.com/{path}"}


@method(
    "chat.startStream",
    "channel thread_ts",
    "markdown_text chunks recipient_team_id recipient_user_id task_display_mode icon_emoji icon_url username",
)
def start_stream(workspace: Workspace, arguments: Arguments) -> Answer:
    channel = writable(workspace, arguments["channel"])
    if not channel.is_im:
        for name in ("recipient_team_id", "recipient_user_id"):
            if not arguments.get(name):
                raise ApiError(f"missing_{name}")
        if arguments["recipient_team_id"] != TEAM:
            raise ApiError("team_not_found")
        workspace.user(arguments["recipient_user_id"])
    check_markdown_text(arguments)
    message = Message(
        channel.id, workspace.new_ts(), BOT_USER, thread_ts=root_of(workspace, channel, arguments["thread_ts"])
    )
    message.streaming = message.stream = True
    message.markdown = said(arguments)
    workspace.add_message(message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.appendStream", "channel ts", "markdown_text chunks")
def append_stream(workspace: Workspace, arguments: Arguments) -> Answer:
    message = streaming(workspace, arguments)
    if not arguments.get("markdown_text") and not arguments.get("chunks"):
        raise ApiError("no_text")
    grow(workspace, message, arguments)
    return {"channel": message.channel, "ts": message.ts}


@method("chat.stopStream", "channel ts", "markdown_text chunks blocks metadata session_status")
def stop_stream(workspace: Workspace, arguments: Arguments) -> Answer:
    message = streaming(workspace, arguments)
    if "blocks" in arguments:
        check_message_blocks(arguments["blocks"])
    check_metadata(arguments.get("metadata"))
    grow(workspace, message, arguments)
    message.blocks, message.metadata = arguments.get("blocks", []), arguments.get("metadata")
    message.streaming = False
    workspace.changed()
    return {"channel": message.channel, "ts": message.ts, "message": message.as_json()}


def streaming(workspace: Workspace, arguments: Arguments) -> Message:
    """The message that is being written. Raises: ApiError."""
    message = own(workspace, arguments["channel"], arguments["ts"], "message_not_owned_by_app")
    if not message.streaming:
        raise ApiError("message_not_in_streaming_state")
    return message


def grow(workspace: Workspace, message: Message, arguments: Arguments) -> None:
    check_markdown_text({key: value for key, value in arguments.items() if key == "markdown_text"})
    message.markdown += said(arguments)
    workspace.changed()


def said(arguments: Arguments) -> str:
    """What a piece of a stream adds. Raises: ApiError."""
    words = arguments.get("markdown_text", "")
    for chunk in arguments.get("chunks") or []:
        if not isinstance(chunk, dict) or chunk.get("type") not in ("markdown_text", "task_update", "plan_update"):
            raise ApiError("invalid_chunks")
        words += chunk.get("text", "") if chunk["type"] == "markdown_text" else ""
    return str(words)
