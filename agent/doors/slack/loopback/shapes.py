"""A small language for shapes of JSON: each check is a function that reports what is wrong, and where.

Lengths are counted in UTF-16 units, so that an emoji outside the basic plane counts twice: whichever way Slack counts,
what passes here passes there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[Any, str, "Found"], None]
CONTROL = re.compile(
    r"<(?:@[UW][A-Z0-9]+(?:\|[^<>]*)?|#[CG][A-Z0-9]+(?:\|[^<>]*)?|!subteam\^S[A-Z0-9]+(?:\|[^<>]*)?"
    r"|!date\^\d+\^[^<>|]+\|[^<>]+|(?:https?://|mailto:|tel:)[^<>|\s]+(?:\|[^<>]*)?)>"
)
BROADCAST = re.compile(r"<!(?:channel|here|everyone)(?:\|[^<>]*)?>")
ENTITY = re.compile(r"&(?:amp|lt|gt);")


@dataclass
class Found:
    """What is wrong, each with its place; ids that were seen, how long all texts are together."""

    faults: list[str] = field(default_factory=list)
    action_ids: set[str] = field(default_factory=set)
    texts: int = 0
    markdown: int = 0

    def wrong(self, place: str, what: str) -> None:
        self.faults.append(f"[ERROR] {what} [json-pointer:{place or '/'}]")


def length(text: str) -> int:
    """Its length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def string(longest: int, least: int = 1, *, pattern: str = "", counted: bool = False) -> Check:
    def check(value: Any, place: str, found: Found) -> None:
        if not isinstance(value, str):
            found.wrong(place, "must be a string")
            return
        if not least <= length(value) <= longest:
            found.wrong(place, f"must have {least} to {longest} characters, has {length(value)}")
        if pattern and not re.fullmatch(pattern, value):
            found.wrong(place, f"must look like {pattern}")
        if counted:
            found.texts += length(value)

    return check


def number(least: float, most: float, *, whole: bool = True) -> Check:
    def check(value: Any, place: str, found: Found) -> None:
        right = isinstance(value, int) if whole else isinstance(value, int | float)
        if not right or isinstance(value, bool) or not least <= value <= most:
            found.wrong(place, f"must be a number from {least} to {most}")

    return check


def flag(value: Any, place: str, found: Found) -> None:
    if not isinstance(value, bool):
        found.wrong(place, "must be true or false")


def word(*words: str) -> Check:
    def check(value: Any, place: str, found: Found) -> None:
        if value not in words:
            found.wrong(place, f"must be one of {', '.join(words)}")

    return check


def items(check_item: Check, most: int, least: int = 1) -> Check:
    def check(value: Any, place: str, found: Found) -> None:
        if not isinstance(value, list):
            found.wrong(place, "must be a list")
            return
        if not least <= len(value) <= most:
            found.wrong(place, f"must have {least} to {most} items, has {len(value)}")
        for number_, item in enumerate(value):
            check_item(item, f"{place}/{number_}", found)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these keys and no others."""
    optional = optional or {}

    def check(value: Any, place: str, found: Found) -> None:
        if not isinstance(value, dict):
            found.wrong(place, "must be an object")
            return
        for key in required:
            if key not in value:
                found.wrong(place, f"missing required field: {key}")
        for key, inner in value.items():
            known = required.get(key) or optional.get(key)
            if known is None:
                found.wrong(f"{place}/{key}", "is not a known field")
            else:
                known(inner, f"{place}/{key}", found)

    return check


def typed(kinds: Mapping[str, Check], what: str) -> Check:
    """An object whose `type` says which shape it has."""

    def check(value: Any, place: str, found: Found) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            found.wrong(place, f"unsupported type of {what}: {kind!r}")
        else:
            kinds[kind](value, place, found)

    return check


def anything(value: Any, place: str, found: Found) -> None:
    """No rule of ours."""


def text(longest: int, *kinds: str, least: int = 1) -> Check:
    """A text object; in `mrkdwn` what is no markup must be escaped, and nobody is called who did not ask."""
    kinds = kinds or ("plain_text", "mrkdwn")
    content = string(longest, least, counted=True)

    def marked(value: Any, place: str, found: Found) -> None:
        content(value, place, found)
        if isinstance(value, str):
            mrkdwn(value, place, found)

    shapes = {
        "plain_text": record({"type": anything, "text": content}, {"emoji": flag}),
        "mrkdwn": record({"type": anything, "text": marked}, {"verbatim": flag}),
    }
    return typed({kind: shapes[kind] for kind in kinds}, "text")


def mrkdwn(value: str, place: str, found: Found) -> None:
    """Stricter than Slack, which shows what it does not understand: a bare < or & is text that nobody escaped."""
    if BROADCAST.search(value):
        found.wrong(place, "calls everybody in the channel")
    rest = ENTITY.sub("", CONTROL.sub("", BROADCAST.sub("", value)))
    quoted = re.sub(r"(?m)^>+ ?", "", rest)
    for sign, escape in (("<", "&lt;"), (">", "&gt;"), ("&", "&amp;")):
        if sign in quoted:
            found.wrong(place, f"a {sign} that is not escaped as {escape} (stricter than Slack)")
