"""Slack's documented limits, checked before anything is sent (docs.slack.dev, blocks and chat.postMessage)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_TEXT = 4_000
"""Slack cuts a text off at 40,000 characters, and asks for no more than this."""
MOST_BLOCKS, MOST_IN_ALL_BLOCKS, MOST_BLOCK_ID = 50, 12_000, 255
MOST_FIELDS, MOST_FIELD, MOST_ELEMENTS, MOST_IN_CONTEXT = 10, 2_000, 25, 10
OF_TEXT = {"header": 150, "section": 3_000, "context": 2_000, "markdown": 12_000}
MOST_BUTTON, MOST_ACTION_ID, MOST_VALUE, MOST_URL, MOST_ALT = 75, 255, 2_000, 3_000, 2_000


def faults(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What Slack would refuse in these blocks, each in a few words; none where it takes them.

    >>> faults([{"type": "header", "text": {"type": "plain_text", "text": "x" * 200}}])
    ['blocks.0: a header of 200 characters, 150 is the most']
    """
    found = [f"{len(blocks)} blocks, {MOST_BLOCKS} is the most"] if len(blocks) > MOST_BLOCKS else []
    for number, block in enumerate(blocks):
        found += [f"blocks.{number}: {what}" for what in _block_faults(block)]
    total = sum(len(text) for block in blocks for text in _texts(block))
    if total > MOST_IN_ALL_BLOCKS:
        found.append(f"{total} characters in all blocks, {MOST_IN_ALL_BLOCKS} is the most")
    return found


def _block_faults(block: Mapping[str, Any]) -> Iterator[str]:
    kind = str(block.get("type", ""))
    if len(str(block.get("block_id", ""))) > MOST_BLOCK_ID:
        yield f"a block_id of more than {MOST_BLOCK_ID} characters"
    text = _text_of(block.get("text"))
    if text is not None and len(text) > OF_TEXT.get(kind, 3_000):
        yield f"a {kind} of {len(text)} characters, {OF_TEXT.get(kind, 3_000)} is the most"
    if text == "":
        yield f"a {kind} without text"
    fields = block.get("fields", ())
    if len(fields) > MOST_FIELDS:
        yield f"{len(fields)} fields, {MOST_FIELDS} is the most"
    if any(len(_text_of(field) or "") > MOST_FIELD for field in fields):
        yield f"a field of more than {MOST_FIELD} characters"
    elements = block.get("elements", ()) if kind in ("actions", "context") else ()
    most = MOST_IN_CONTEXT if kind == "context" else MOST_ELEMENTS
    if len(elements) > most:
        yield f"{len(elements)} elements, {most} is the most"
    for element in [*elements, *([block["accessory"]] if "accessory" in block else [])]:
        yield from _element_faults(element)
    if kind == "image" and (
        len(str(block.get("image_url", ""))) > MOST_URL or len(block.get("alt_text", "")) > MOST_ALT
    ):
        yield "an image whose address or description is too long"


def _element_faults(element: Mapping[str, Any]) -> Iterator[str]:
    limits = {"action_id": MOST_ACTION_ID, "value": MOST_VALUE, "url": MOST_URL}
    for name, most in limits.items():
        if len(str(element.get(name, ""))) > most:
            yield f"{name} of more than {most} characters"
    if element.get("type") == "button" and len(_text_of(element.get("text")) or "") > MOST_BUTTON:
        yield f"a button of more than {MOST_BUTTON} characters"


def _text_of(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("text")
    return value if isinstance(value, str) else None


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a block that a person sees."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("text", "title", "description", "alt_text", "placeholder") and isinstance(inner, str):
                yield inner
            elif isinstance(inner, Mapping | list | tuple):
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def escaped(text: str) -> str:
    """Text that cannot become a mention, a link or markup.

    >>> escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
