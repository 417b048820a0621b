"""The blocks of Block Kit and their documented limits: https://docs.slack.dev/reference/block-kit/blocks

A block that stands in no list here is refused, also where Slack has it: what is sent is what it was tried with.
"""

from __future__ import annotations

from typing import Any

from agent.doors.slack.loopback.elements import ACCESSORY, ACTION, CONTEXT, CONTEXT_ACTION, INPUT, PLAIN, URL
from agent.doors.slack.loopback.shapes import (
    Check,
    Found,
    anything,
    flag,
    items,
    length,
    number,
    record,
    string,
    text,
    typed,
    word,
)

MOST_TEXT = 12_000
"""Characters in all blocks of a message together; Slack refuses about 13,200, undocumented (bolt-js issue 2509)."""
STYLE = record({}, {"bold": flag, "italic": flag, "strike": flag, "code": flag, "underline": flag})
INLINE: dict[str, Check] = {
    "text": record({"type": anything, "text": string(12_000, counted=True)}, {"style": STYLE}),
    "link": record(
        {"type": anything, "url": URL}, {"text": string(3000, counted=True), "unsafe": flag, "style": STYLE}
    ),
    "emoji": record({"type": anything, "name": string(100)}, {"unicode": string(40), "style": STYLE}),
    "user": record({"type": anything, "user_id": string(40)}, {"style": STYLE}),
    "channel": record({"type": anything, "channel_id": string(40)}, {"style": STYLE}),
    "date": record(
        {"type": anything, "timestamp": number(0, 9_999_999_999), "format": string(200)},
        {"url": URL, "fallback": string(200), "style": STYLE},
    ),
}
PARTS = items(typed(INLINE, "part of rich text"), 1000)
SECTION_OF_TEXT = record({"type": anything, "elements": PARTS})
RICH: dict[str, Check] = {
    "rich_text_section": SECTION_OF_TEXT,
    "rich_text_list": record(
        {
            "type": anything,
            "style": word("bullet", "ordered"),
            "elements": items(typed({"rich_text_section": SECTION_OF_TEXT}, "item of a list"), 1000),
        },
        {"indent": number(0, 8), "offset": number(0, 10_000), "border": number(0, 1)},
    ),
    "rich_text_preformatted": record({"type": anything, "elements": PARTS}, {"border": number(0, 1)}),
    "rich_text_quote": record({"type": anything, "elements": PARTS}, {"border": number(0, 1)}),
}
RICH_TEXT = record(
    {"type": anything, "elements": items(typed(RICH, "element of rich text"), 1000)}, {"block_id": string(255)}
)
CELL = typed(
    {
        "raw_text": record({"type": anything, "text": string(3000, 0, counted=True)}),
        "raw_number": record({"type": anything, "value": number(-1e300, 1e300, whole=False)}, {"text": string(100)}),
        "rich_text": RICH_TEXT,
    },
    "cell",
)


def block(required: dict[str, Check] | None = None, **optional: Check) -> Check:
    return record({"type": anything, **(required or {})}, {"block_id": string(255), **optional})


def either(check: Check, *keys: str) -> Check:
    """At least one of the keys must be there."""

    def checked(value: Any, place: str, found: Found) -> None:
        check(value, place, found)
        if not any(key in value for key in keys):
            found.wrong(place, f"needs {' or '.join(keys)}")

    return checked


def markdown(value: Any, place: str, found: Found) -> None:
    """All markdown blocks of a message share one limit."""
    string(MOST_TEXT, counted=True)(value, place, found)
    found.markdown += length(value) if isinstance(value, str) else 0
    if found.markdown > MOST_TEXT:
        found.wrong(place, f"all markdown blocks together must have at most {MOST_TEXT} characters")


def table(value: Any, place: str, found: Found) -> None:
    _table(value, place, found)
    rows = value.get("rows") if isinstance(value, dict) else None
    widths = {len(row) for row in rows or [] if isinstance(row, list)}
    if len(widths) > 1:
        found.wrong(f"{place}/rows", "rows have different numbers of cells")


_table = block(
    {"rows": items(items(CELL, 20), 100)},
    column_settings=items(record({}, {"align": word("left", "center", "right"), "is_wrapped": flag}), 20),
)
IMAGE = either(
    block(
        {"alt_text": string(2000, 0)},
        image_url=URL,
        slack_file=record({}, {"id": string(40), "url": URL}),
        title=text(2000, *PLAIN),
    ),
    "image_url",
    "slack_file",
)
EVERYWHERE: dict[str, Check] = {
    "section": either(
        block(text=text(3000), fields=items(text(2000), 10), accessory=ACCESSORY, expand=flag), "text", "fields"
    ),
    "divider": block(),
    "header": block({"text": text(150, *PLAIN)}),
    "context": block({"elements": items(CONTEXT, 10)}),
    "actions": block({"elements": items(ACTION, 25)}),
    "image": IMAGE,
    "rich_text": RICH_TEXT,
}
INPUT_BLOCK = block(
    {"label": text(2000, *PLAIN), "element": INPUT}, hint=text(2000, *PLAIN), optional=flag, dispatch_action=flag
)
MESSAGE: dict[str, Check] = {
    **EVERYWHERE,
    "markdown": block({"text": markdown}),
    "table": table,
    "context_actions": block({"elements": items(CONTEXT_ACTION, 5)}),
    "input": INPUT_BLOCK,
}
VIEW: dict[str, Check] = {**EVERYWHERE, "input": INPUT_BLOCK}


def check_blocks(blocks: Any, kinds: dict[str, Check], most: int, place: str = "/blocks") -> Found:
    """What is wrong with a list of blocks."""
    found = Found()
    one = typed(kinds, "block")

    def each(value: Any, where: str, found: Found) -> None:
        found.action_ids.clear()  # unique within their block
        one(value, where, found)

    items(each, most, 0)(blocks, place, found)
    given = [item for item in blocks if isinstance(item, dict)] if isinstance(blocks, list) else []
    ids = [item["block_id"] for item in given if isinstance(item.get("block_id"), str)]
    for block_id in sorted({block_id for block_id in ids if ids.count(block_id) > 1}):
        found.wrong(place, f"block_id {block_id!r} stands there twice")
    if sum(item.get("type") == "table" for item in given) > 1:
        found.wrong(place, "only one table is allowed (only_one_table_allowed)")
    return found
