"""Slack, by its own client: one message a second and channel, `Retry-After` honoured, the key with each message.

A message carries its key as metadata. Where an earlier try may have arrived (`Message.again`), the channel's history
is asked for the key first, so that a crash or a time-out makes no second message.
"""

from __future__ import annotations

import http.client
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notifications.message import DeliveryFailed, File, Message, Receipt, Refused
from notifications.slack_limits import MOST_TEXT, escaped, faults

if TYPE_CHECKING:
    from slack_sdk import WebClient

BASE_URL = "https://slack.com/api/"
EVENT = "watchkeeper_message"
SECONDS = 10
LOOK_BACK = 24 * 3600
MOST_PAGES = 5
WHEN_SILENT = 30.0
"""How long to wait where Slack limits the rate and does not say how long."""

BUSY = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "timeout"}
LIMITED = {"ratelimited", "rate_limited", "message_limit_exceeded", "accesslimited"}
CURES = {
    "not_in_channel": "invite it: /invite @Watchkeeper in the channel",
    "channel_not_found": "no such channel, or a private one that Watchkeeper is not in: invite it there",
    "is_archived": "the channel is archived; name another in the spec's `owner` or in notifications.yaml",
    "invalid_auth": "SLACK_BOT_TOKEN is not valid; take the one of the app's page `OAuth & Permissions`",
    "not_authed": "SLACK_BOT_TOKEN is empty",
    "token_revoked": "SLACK_BOT_TOKEN was revoked; install the app again",
    "account_inactive": "the app was removed from the workspace; install it again",
    "missing_scope": "the app lacks a scope; install it again from deploy/slack/manifest.yaml",
    "restricted_action": "the channel's settings do not let apps post",
}
REFUSED = {
    "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "invalid_arguments",
    "message_not_found", "cant_update_message", "edit_window_closed", "invalid_metadata_format", "thread_not_found",
    "cannot_reply_to_message", "invalid_ts", "user_not_found", "users_not_found",
}  # fmt: skip
OF_BLOCKS = {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}


class Slack:
    """The Web API at `base_url`, with a bot's token."""

    def __init__(self, token: str, base_url: str = BASE_URL, *, pace: float = 1.0, seconds: int = SECONDS) -> None:
        from slack_sdk import WebClient

        quiet = logging.getLogger("notifications.slack.client")
        quiet.setLevel(logging.CRITICAL)  # what goes wrong is said once, with the delivery
        address = base_url if base_url.endswith("/") else f"{base_url}/"
        self._client = WebClient(token=token, base_url=address, timeout=seconds, retry_handlers=[], logger=quiet)
        self._pace = pace
        self._ids: dict[str, str] = {}

    @property
    def pace(self) -> float:
        return self._pace

    @property
    def client(self) -> WebClient:
        """The same client for what a person waits for: answers, modals, what only they see."""
        return self._client

    def deliver(self, message: Message) -> Receipt:
        """Post, edit or answer; files go into the thread. Raises: DeliveryFailed, Refused."""
        payload, long = _payload(message)
        if message.edits:
            channel, ts = _place(message.edits)
            self._sent("chat_update", {"channel": channel, "ts": ts, **payload})
        else:
            thread = _place(message.thread)[1] if message.thread else ""
            found = self._arrived(message, thread) if message.again else None
            channel, ts = found or self._post(message, payload, thread)
        files = [*message.files, *long]
        if files:
            self._upload(message, files, channel, _place(message.thread)[1] if message.thread else ts)
        return Receipt(f"{channel}/{ts}")

    def _post(self, message: Message, payload: Mapping[str, Any], thread: str) -> tuple[str, str]:
        place = _place(message.thread)[0] if message.thread else message.recipient
        request = {
            "channel": self._ids.get(place, place),
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": EVENT, "event_payload": {"key": message.key}},
            **({"thread_ts": thread} if thread else {}),
            **({"reply_broadcast": True} if thread and message.document.get("reply_broadcast") else {}),
            **payload,
        }
        answer = self._sent("chat_postMessage", request)
        channel, ts = str(answer.get("channel") or place), str(answer.get("ts") or "")
        if not ts:
            raise DeliveryFailed("Slack answered without saying which message it is", unknown=True)
        self._ids[place] = channel
        return channel, ts

    def _sent(self, method: str, request: dict[str, Any]) -> Mapping[str, Any]:
        """Send; where Slack refuses the blocks, the text alone: no post fails for its form."""
        try:
            return self._call(method, **request)
        except _Unfit:
            return self._call(method, **{name: value for name, value in request.items() if name != "blocks"})

    def _arrived(self, message: Message, thread: str) -> tuple[str, str] | None:
        """Where an earlier try of the same key stands, if it arrived; where two did, the later one is taken back."""
        place = _place(message.thread)[0] if message.thread else message.recipient
        channel = self._id_of(place)
        if not channel:
            return None
        there = [str(found["ts"]) for found in self._history(channel, thread) if _key_of(found) == message.key]
        for extra in sorted(there)[1:]:
            self._call("chat_delete", channel=channel, ts=extra)
        return (channel, min(there)) if there else None

    def _history(self, channel: str, thread: str) -> list[Mapping[str, Any]]:
        """The last day's messages, as far as the app may read them; nothing where it may not."""
        found: list[Mapping[str, Any]] = []
        request: dict[str, Any] = {"channel": channel, "limit": 200, "include_all_metadata": True}
        if thread:
            request["ts"] = thread
        else:
            request["oldest"] = f"{time.time() - LOOK_BACK:.6f}"
        for _ in range(MOST_PAGES):
            try:
                answer = self._call("conversations_replies" if thread else "conversations_history", **request)
            except _Closed:
                return found
            found += answer.get("messages") or []
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            request["cursor"] = cursor
        return found

    def _id_of(self, place: str) -> str:
        """The id of a channel by its name; "" where the app may not ask, or there is none."""
        if not place.startswith("#"):
            return place
        if place not in self._ids:
            request: dict[str, Any] = {"limit": 1000, "exclude_archived": True}
            for _ in range(MOST_PAGES):
                try:
                    answer = self._call("conversations_list", **request)
                except _Closed:
                    break
                for channel in answer.get("channels") or []:
                    self._ids.setdefault(f"#{channel.get('name')}", str(channel.get("id")))
                request["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
                if not request["cursor"] or place in self._ids:
                    break
        return self._ids.get(place, "")

    def _upload(self, message: Message, files: Sequence[File], channel: str, thread: str) -> None:
        there = set()
        if message.again:
            there = {file.get("name") for found in self._history(channel, thread) for file in found.get("files") or []}
        uploads = [
            {"content": file.content, "filename": file.name, "title": file.name, "alt_txt": file.alt[:1000] or None}
            for file in files
            if file.name not in there
        ]
        if uploads:
            self._call("files_upload_v2", file_uploads=uploads, channel=channel, thread_ts=thread)

    def _call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """One call; every way in which it can end badly is one of ours. Raises: DeliveryFailed, Refused."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            answer = getattr(self._client, method)(**arguments)
            data = answer.data
        except SlackApiError as error:
            raise _explained(error) from error
        except SlackClientError as error:
            raise DeliveryFailed(f"Slack: {error}", unknown=True) from error
        except (OSError, http.client.HTTPException, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DeliveryFailed(f"Slack: {type(error).__name__}: {error}", unknown=True) from error
        if not isinstance(data, Mapping):
            raise DeliveryFailed("Slack answered with something that is no answer", unknown=True)
        return data


class _Unfit(Refused):
    """Slack takes the message, but not its blocks."""


class _Closed(DeliveryFailed):
    """The app may not do this; a person can change that."""


def _key_of(found: Mapping[str, Any]) -> Any:
    return ((found.get("metadata") or {}).get("event_payload") or {}).get("key")


def _explained(error: Any) -> Exception:
    """One of Slack's errors as one of ours."""
    response = error.response
    status = getattr(response, "status_code", 0)
    data = getattr(response, "data", None)
    name = str(data.get("error") or "") if isinstance(data, Mapping) else ""
    if status == 429 or name in LIMITED:
        return DeliveryFailed(f"Slack asks to wait ({name or status})", _seconds(getattr(response, "headers", {})))
    if status >= 500 or name in BUSY or not name:
        return DeliveryFailed(f"Slack: {name or status}", unknown=True)
    if name in CURES:
        return _Closed(f"Slack: {name}: {CURES[name]}")
    if name in OF_BLOCKS:
        return _Unfit(f"Slack: {name}")
    if name in REFUSED:
        return Refused(f"Slack: {name}")
    return DeliveryFailed(f"Slack: {name}")


def _seconds(headers: Mapping[str, Any]) -> float:
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return WHEN_SILENT


def _payload(message: Message) -> tuple[dict[str, Any], tuple[File, ...]]:
    """Text and blocks that Slack takes, and as a file what would be too long for it."""
    document = message.document
    text = str(document.get("text") or "") or f"*{escaped(message.title)}*\n{escaped(message.body)}"
    blocks = document.get("blocks") or []
    whole = f"{message.title}\n\n{message.body}\n"
    long: tuple[File, ...] = ()
    if blocks and faults(blocks):
        blocks, long = [], (_as_file(whole),)
    if len(text) > MOST_TEXT:
        text, long = f"{text[: MOST_TEXT - 60].rsplit(' ', 1)[0]} … (whole in the file)", (_as_file(whole),)
    return {"text": text or "…", **({"blocks": list(blocks)} if blocks else {})}, () if message.edits else long


def _as_file(text: str) -> File:
    return File("message.txt", "text/plain", text.encode("utf-8", "replace"), "The whole message as text")


def _place(reference: str) -> tuple[str, str]:
    """Channel and time stamp of `CHANNEL/ts`."""
    channel, _, ts = reference.partition("/")
    if not channel or not ts:
        raise Refused(f"{reference!r} is no message in Slack; it is written CHANNEL/ts")
    return channel, ts
