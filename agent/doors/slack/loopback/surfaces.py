"""What a message, a modal and App Home may hold as a whole; each error by the name that Slack gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.doors.slack.loopback.blocks import MESSAGE, MOST_TEXT, VIEW, check_blocks
from agent.doors.slack.loopback.elements import PLAIN
from agent.doors.slack.loopback.shapes import Found, anything, flag, length, mrkdwn, record, string, text, word

MOST_BLOCKS, MOST_VIEW_BLOCKS, MOST_VIEW_BYTES = 50, 100, 250_000
MOST_POSTED, MOST_UPDATED = 40_000, 4_000
TEXT_FIELDS = ("text", "blocks", "attachments", "markdown_text")


class ApiError(Exception):
    """An answer `ok: false`."""

    def __init__(self, error: str, *messages: str, **more: Any) -> None:
        super().__init__(error, *messages)
        self.error, self.messages, self.more = error, list(messages), more


def check_message(arguments: Mapping[str, Any], *, update: bool = False) -> None:
    """Raises: ApiError for a message that Slack refuses, or that would be shown as it was not meant."""
    if not any(arguments.get(field) for field in TEXT_FIELDS):
        raise ApiError("no_text")
    words = arguments.get("text") or ""
    if not isinstance(words, str):
        raise ApiError("invalid_arguments", "[ERROR] must be a string [json-pointer:/text]")
    if length(words) > (MOST_UPDATED if update else MOST_POSTED):
        raise ApiError("msg_too_long")
    found = Found()
    if arguments.get("mrkdwn", True):
        mrkdwn(words, "/text", found)
    if found.faults:
        raise ApiError("invalid_arguments", *found.faults)
    check_markdown_text(arguments)
    if "blocks" in arguments:
        check_message_blocks(arguments["blocks"])
        if not words:
            raise ApiError("no_text", "blocks without text: nothing to show in a notification (stricter than Slack)")
    for number, attachment in enumerate(arguments.get("attachments") or []):
        shape = record({}, {"color": string(20), "fallback": string(4000), "blocks": anything})
        found = Found()
        shape(attachment, f"/attachments/{number}", found)
        if found.faults:
            raise ApiError("invalid_attachments", *found.faults)
        check_message_blocks(attachment.get("blocks", []))
    check_metadata(arguments.get("metadata"))
    if not update and arguments.get("unfurl_links") is not False:
        raise ApiError("invalid_arguments", "[ERROR] unfurl_links must be false (stricter than Slack)")


def check_message_blocks(blocks: Any) -> None:
    """Raises: ApiError."""
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    found = check_blocks(blocks, MESSAGE, MOST_BLOCKS)
    if found.faults:
        raise ApiError("invalid_blocks", *found.faults)
    if found.texts > MOST_TEXT:
        raise ApiError("msg_blocks_too_long", f"[ERROR] {found.texts} characters in all blocks, at most {MOST_TEXT}")


def check_markdown_text(arguments: Mapping[str, Any]) -> None:
    """Raises: ApiError."""
    words = arguments.get("markdown_text")
    if words is None:
        return
    if not isinstance(words, str):
        raise ApiError("invalid_arguments", "[ERROR] must be a string [json-pointer:/markdown_text]")
    if length(words) > MOST_TEXT:
        raise ApiError("msg_too_long")
    if arguments.get("text") or (arguments.get("blocks") and "ts" not in arguments):
        raise ApiError("markdown_text_conflict")


def check_metadata(metadata: Any) -> None:
    """Raises: ApiError."""
    if metadata is None:
        return
    found = Found()
    record({"event_type": string(80), "event_payload": anything})(metadata, "/metadata", found)
    if found.faults:
        raise ApiError("invalid_metadata_format", *found.faults)
    if len(json.dumps(metadata)) > 16_000:
        raise ApiError("metadata_too_large")


_SHARED = {"callback_id": string(255), "private_metadata": string(3000, 0), "external_id": string(255)}
_MODAL = record(
    {"type": word("modal"), "title": text(24, *PLAIN), "blocks": anything},
    {
        **_SHARED,
        "submit": text(24, *PLAIN),
        "close": text(24, *PLAIN),
        "clear_on_close": flag,
        "notify_on_close": flag,
        "submit_disabled": flag,
    },
)
_HOME = record({"type": word("home"), "blocks": anything}, _SHARED)


def check_view(view: Any, kind: str) -> None:
    """Raises: ApiError for a modal or a home that Slack refuses."""
    found = Found()
    (_MODAL if kind == "modal" else _HOME)(view, "/view", found)
    if found.faults:
        raise ApiError("invalid_arguments", *found.faults)
    found = check_blocks(view["blocks"], VIEW, MOST_VIEW_BLOCKS, "/view/blocks")
    if kind == "modal" and not view.get("submit") and any(block.get("type") == "input" for block in view["blocks"]):
        found.wrong("/view/submit", "missing required field: submit (there is an input)")
    if found.faults:
        raise ApiError("invalid_arguments", *found.faults)
    if len(json.dumps(view).encode()) > MOST_VIEW_BYTES:
        raise ApiError("view_too_large")
