"""Block Kit as plain data, each part within its documented limit, and a message within the sum that Slack takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.pipeline.slack.text import cut, size

Block = dict[str, Any]

SECTION, FIELD, HEADER, CONTEXT, ALT = 3000, 2000, 150, 2000, 2000
BUTTON, VALUE, ADDRESS, NAME = 75, 2000, 3000, 255
CONFIRM_TITLE, CONFIRM_TEXT, CONFIRM_BUTTON = 100, 300, 30
FIELDS, ELEMENTS, ACTIONS, BLOCKS, HOME_BLOCKS = 10, 10, 25, 50, 100
TEXT_OF_ALL = 12_000
"""Of all blocks together; Slack refuses more than about 13,200 although each limit holds."""
FALLBACK = 3000
"""What a notification shows, and who reads without blocks."""
MODAL_TITLE, MODAL_BUTTON, PRIVATE = 24, 24, 3000


def mrkdwn(text: str, longest: int = SECTION) -> dict[str, Any]:
    """A text that is escaped and formatted already. `verbatim`: Slack makes no links and mentions of its own in it."""
    return {"type": "mrkdwn", "text": shortened(text, longest), "verbatim": True}


def shortened(text: str, longest: int) -> str:
    """Ready mrkdwn cut at a line, so that no sign and no entity is split; a last resort, as parts are cut before."""
    if size(text) <= longest:
        return text or " "
    lines, room = [], longest - 1
    for line in text.split("\n"):
        if size(line) + 1 > room:
            break
        lines.append(line)
        room -= size(line) + 1
    return "\n".join(lines) + "…"


def plain(text: str, longest: int, *, emoji: bool = False) -> dict[str, Any]:
    """A text that is shown as it is."""
    return {"type": "plain_text", "text": cut(text, longest, escape=False) or " ", "emoji": emoji}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER)}


def section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def fields(pairs: Sequence[tuple[str, str]]) -> Block:
    """Labels of ours and ready values, two by two."""
    return {
        "type": "section",
        "fields": [mrkdwn(f"*{label}*\n{value}", FIELD) for label, value in pairs[:FIELDS]],
    }


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text, CONTEXT) for text in texts[:ELEMENTS]]}


def divider() -> Block:
    return {"type": "divider"}


def image(file_id: str, alt: str) -> Block:
    """A picture that was uploaded before."""
    return {"type": "image", "slack_file": {"id": file_id}, "alt_text": cut(alt, ALT, escape=False) or "chart"}


def button(
    label: str,
    action: str,
    value: str = "",
    *,
    url: str = "",
    style: str = "",
    confirm: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A button; with `url` it opens a page."""
    made: dict[str, Any] = {"type": "button", "text": plain(label, BUTTON), "action_id": action[:NAME]}
    if value:
        made["value"] = value[:VALUE]
    if url and len(url) <= ADDRESS:
        made["url"] = url
    if style:
        made["style"] = style
    if confirm:
        made["confirm"] = dict(confirm)
    return made


def confirmation(title: str, text: str, yes: str) -> dict[str, Any]:
    """What is asked before a button does anything."""
    return {
        "title": plain(title, CONFIRM_TITLE),
        "text": plain(text, CONFIRM_TEXT),
        "confirm": plain(yes, CONFIRM_BUTTON),
        "deny": plain("Not yet", CONFIRM_BUTTON),
    }


def actions(elements: Sequence[Mapping[str, Any]], name: str = "") -> Block:
    made: Block = {"type": "actions", "elements": [dict(one) for one in elements[:ACTIONS]]}
    if name:
        made["block_id"] = name[:NAME]
    return made


def feedback(message: str) -> Block:
    """Thumbs under an answer."""
    return {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "feedback",
                "positive_button": {"text": plain("Good answer", BUTTON), "value": f"up:{message}"},
                "negative_button": {"text": plain("Bad answer", BUTTON), "value": f"down:{message}"},
            }
        ],
    }


def modal(name: str, title: str, blocks: list[Block], *, private: str = "", submit: str = "") -> Block:
    made: Block = {
        "type": "modal",
        "callback_id": name[:NAME],
        "title": plain(title, MODAL_TITLE),
        "close": plain("Close", MODAL_BUTTON),
        "blocks": fitted(blocks, HOME_BLOCKS),
        "private_metadata": private[:PRIVATE],
    }
    if submit:
        made["submit"] = plain(submit, MODAL_BUTTON)
    return made


def weight(block: Any) -> int:
    """How much text a block has, in all its parts."""
    if isinstance(block, Mapping):
        own = size(block["text"]) if isinstance(block.get("text"), str) else 0
        own += size(str(block.get("alt_text", "")))
        return own + sum(weight(part) for key, part in block.items() if key != "alt_text" and not isinstance(part, str))
    return sum(weight(part) for part in block) if isinstance(block, (list, tuple)) else 0


def fitted(blocks: Iterable[Block], most: int = BLOCKS, room: int = TEXT_OF_ALL) -> list[Block]:
    """As many blocks as fit. Buttons and what stands first always do; what is left out is said."""
    wanted = list(blocks)
    kept = [block["type"] in ("actions", "header", "input") for block in wanted]
    left = room - 200 - sum(weight(block) for block, keep in zip(wanted, kept, strict=True) if keep)
    slots = most - 1 - sum(kept)
    made: list[Block] = []
    dropped = 0
    for block, keep in zip(wanted, kept, strict=True):
        if not keep:
            if weight(block) > left or slots < 1:
                dropped += block["type"] != "divider"
                continue
            left, slots = left - weight(block), slots - 1
        made.append(block)
    if dropped:
        at = next((place for place, block in enumerate(made) if block["type"] == "actions"), len(made))
        made.insert(
            at, context(f"{dropped} part(s) left out here for their length; the console and the file have all.")
        )
    return made


def document(text: str, blocks: Iterable[Block], **more: Any) -> dict[str, Any]:
    """A message: what a notification shows, and the blocks."""
    return {"text": shortened(text, FALLBACK), "blocks": fitted(blocks), **more}
