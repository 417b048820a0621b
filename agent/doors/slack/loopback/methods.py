"""The table of methods: what each takes, and how an argument of a form becomes the value that it means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.doors.slack.loopback.surfaces import ApiError
from agent.doors.slack.loopback.workspace import Workspace

Arguments = dict[str, Any]
Answer = dict[str, Any]
Call = Callable[[Workspace, Arguments], Answer]
PARSED = ("blocks", "attachments", "metadata", "view", "files", "prompts", "chunks", "loading_messages")
WHOLE = ("length", "limit")
FLAGS = ("unfurl_links", "unfurl_media", "mrkdwn", "reply_broadcast", "include_num_members", "return_im", "link_names")
ICON = frozenset({"icon_emoji", "icon_url", "username"})


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the Web API."""

    name: str
    required: frozenset[str]
    optional: frozenset[str]
    call: Call


METHODS: dict[str, Method] = {}


def method(name: str, required: str = "", optional: str = "") -> Callable[[Call], Call]:
    """Put a function in the table; arguments by name, with spaces between."""

    def add(call: Call) -> Call:
        METHODS[name] = Method(name, frozenset(required.split()), frozenset(optional.split()), call)
        return call

    return add


def arguments_of(known: Method, given: Mapping[str, Any]) -> Arguments:
    """The arguments of a call. Raises: ApiError for one that is missing, unknown or malformed."""
    given = {key: value for key, value in given.items() if key != "token" and value is not None}
    if unknown := sorted(set(given) - known.required - known.optional):
        raise ApiError("invalid_arguments", *(f"[ERROR] unknown argument: {name}" for name in unknown))
    if missing := sorted(name for name in known.required if given.get(name) in (None, "")):
        raise ApiError("invalid_arguments", *(f"[ERROR] missing required field: {name}" for name in missing))
    return {key: _value(key, value) for key, value in given.items()}


def _value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if key in PARSED:
            return json.loads(value)
        if key in WHOLE:
            return int(value)
    except ValueError:
        error = "invalid_blocks_format" if key == "blocks" else "invalid_arguments"
        raise ApiError(error, f"[ERROR] cannot be read [json-pointer:/{key}]") from None
    return value in ("1", "true", "True") if key in FLAGS else value
