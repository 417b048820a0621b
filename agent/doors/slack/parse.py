"""What came from Slack, by either way, as one shape: which kind, whose, under which key, in which lane.

The shape is what handlers get: `{"kind", "key", "team", "user", "workspace", "channel", "ts", "thread_ts", "payload"}`.
team and user: who did it, from the signed payload ("" where nobody did). workspace: where the app is installed.
payload: what Slack sent, for events the inner event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from agent.pipeline.inbox import fingerprint
from tools.clean import clean_text

DEEPEST = 40
EVENTS: Mapping[str, str] = {
    "message": "message",
    "app_mention": "mention",
    "app_home_opened": "home",
    "assistant_thread_started": "thread_started",
    "assistant_thread_context_changed": "thread_context",
    "agent_session_stopped": "stopped",
}
INTERACTIONS: Mapping[str, str] = {
    "block_actions": "action",
    "view_submission": "submission",
    "view_closed": "closed",
}
SLOW = ("message", "mention")
"""What may take a language model's time; everything else somebody waits for, in front of a screen."""
STOP = re.compile(r"(?i)\s*(?:<@[A-Z0-9]+>\s*)?(?:stop|cancel)[.!]?\s*")
QUIET_SUBTYPES = (None, "file_share", "thread_broadcast")


class Malformed(Exception):
    """Not what Slack sends."""


@dataclass(frozen=True, slots=True)
class Came:
    """Something to be kept and worked on; kind "" is to be acknowledged, and nothing more."""

    kind: str
    key: str
    lane: str
    event: dict[str, Any]
    challenge: str = ""

    @property
    def urgent(self) -> bool:
        return self.kind not in SLOW


def from_http(body: bytes, content_type: str) -> Came:
    """A request whose signature was checked. Raises: Malformed."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8")
        if kind == "application/json":
            return from_payload(json.loads(text), fallback=body)
        if kind != "application/x-www-form-urlencoded":
            raise Malformed("neither JSON nor a form")
        form = parse_qs(text, keep_blank_values=True, strict_parsing=True, max_num_fields=100)
        if "payload" in form:
            return from_payload(json.loads(form["payload"][0]), fallback=body)
        return from_command({name: values[0] for name, values in form.items()}, fallback=body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"cannot be read ({type(error).__name__})") from None


def from_socket(envelope_type: str, payload: Any, envelope: str) -> Came:
    """What an envelope of Socket Mode holds. Raises: Malformed."""
    fallback = envelope.encode()
    if envelope_type == "slash_commands" and isinstance(payload, dict):
        return from_command(payload, fallback=fallback)
    return from_payload(payload, fallback=fallback)


def from_payload(payload: Any, *, fallback: bytes) -> Came:
    """An event or an interaction. Raises: Malformed."""
    if not isinstance(payload, dict):
        raise Malformed("not an object")
    payload = _cleaned(payload, 0)
    match payload.get("type"):
        case "url_verification":
            challenge = _text(payload, "challenge")
            return Came("", f"challenge/{fingerprint(fallback)}", "", {"kind": ""}, challenge)
        case "event_callback":
            return _event(payload, fallback)
        case str() as kind if kind in INTERACTIONS:
            return _interaction(INTERACTIONS[kind], payload, fallback)
        case str():
            return Came("", f"other/{fingerprint(fallback)}", "", {"kind": ""})
    raise Malformed("no type")


def _event(payload: dict[str, Any], fallback: bytes) -> Came:
    inner = payload.get("event")
    if not isinstance(inner, dict):
        raise Malformed("no event in it")
    key = _text(payload, "event_id") or fingerprint(fallback)
    kind = EVENTS.get(_text(inner, "type"), "")
    thread = inner.get("assistant_thread")
    about = thread if isinstance(thread, dict) else inner
    channel, ts = _text(about, "channel", "channel_id"), _text(inner, "ts")
    thread_ts = _text(about, "thread_ts")
    if kind == "message" and not _is_asked(inner):
        kind = ""
    if kind == "mention" and inner.get("bot_id"):
        kind = ""  # two apps that mention each other would never end
    if kind in SLOW and STOP.fullmatch(_text(inner, "text")):
        kind = "stopped"  # it must not wait behind the answer that it is to stop
    event = {
        "kind": kind,
        "key": key,
        "team": _text(inner, "user_team", "team") or _text(payload, "team_id"),
        "user": _text(about, "user", "user_id"),
        "workspace": _text(payload, "team_id"),
        "channel": channel,
        "ts": ts,
        "thread_ts": thread_ts,
        "payload": inner,
    }
    lane = f"{channel}/{thread_ts or ts}" if kind in SLOW else f"home/{event['user']}"
    return Came(kind, f"event/{key}", lane, event)


def _is_asked(inner: dict[str, Any]) -> bool:
    """Whether a message is a person's, to the app: not an edit, not a bot's, and in a direct conversation."""
    ours = inner.get("bot_id") or inner.get("subtype") not in QUIET_SUBTYPES
    return not ours and inner.get("channel_type") == "im" and bool(_text(inner, "user"))


def _interaction(kind: str, payload: dict[str, Any], fallback: bytes) -> Came:
    user, team, container = (_inner(payload, name) for name in ("user", "team", "container"))
    message = _inner(payload, "message")
    key = _text(payload, "trigger_id") or fingerprint(fallback)
    event = {
        "kind": kind,
        "key": key,
        "team": _text(user, "team_id") or _text(team, "id"),
        "user": _text(user, "id"),
        "workspace": _text(team, "id"),
        "channel": _text(_inner(payload, "channel"), "id") or _text(container, "channel_id"),
        "ts": _text(container, "message_ts"),
        "thread_ts": _text(container, "thread_ts") or _text(message, "thread_ts"),
        "payload": payload,
    }
    if not event["user"]:
        raise Malformed("nobody did it")
    return Came(kind, f"{kind}/{key}", f"person/{event['user']}", event)


def from_command(form: Mapping[str, Any], *, fallback: bytes) -> Came:
    """A slash command. Raises: Malformed."""
    given = _cleaned(dict(form), 0)
    if given.get("ssl_check"):
        return Came("", f"other/{fingerprint(fallback)}", "", {"kind": ""})
    if not _text(given, "command").startswith("/") or not _text(given, "user_id"):
        raise Malformed("neither an interaction nor a command")
    key = _text(given, "trigger_id") or fingerprint(fallback)
    event = {
        "kind": "command",
        "key": key,
        "team": _text(given, "team_id"),
        "user": _text(given, "user_id"),
        "workspace": _text(given, "team_id"),
        "channel": _text(given, "channel_id"),
        "ts": "",
        "thread_ts": "",
        "payload": given,
    }
    return Came("command", f"command/{key}", f"person/{event['user']}", event)


def _inner(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Mapping[str, Any], *names: str) -> str:
    """The first of these that is a text, short enough to be an id or a name."""
    for name in names:
        if isinstance(value.get(name), str) and value[name]:
            return str(value[name])[:1000]
    return ""


def _cleaned(value: Any, depth: int) -> Any:
    """Texts made safe to store (no NUL, no half of a pair), numbers that JSON has, not too deep. Raises: Malformed."""
    if depth > DEEPEST:
        raise Malformed("too deep")
    if isinstance(value, dict):
        return {clean_text(str(key)): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise Malformed("a number that is none")
    return value
