"""What the conversation says, as Slack shows it: Markdown for streams and mrkdwn for edits. It has been filtered
already (no mention, no foreign link, no HTML); here nothing of it may become one again."""

from __future__ import annotations

import re

from agent.pipeline.slack.text import console, escaped, size

_LINK = re.compile(r"\[([^\[\]\n]{0,300})\]\(([^()\s]{1,1000})\)")
_BOLD = re.compile(r"\*\*(?=\S)([^\n*]{1,500}?)(?<=\S)\*\*")
_BULLET = re.compile(r"(?m)^(\s*)[-*] ")
_HEADING = re.compile(r"(?m)^#{1,6} +(.+)$")
_RECORD = re.compile(r"\b([iptd])-[0-9a-hjkmnp-tv-z]{10}\b")
_FACT = re.compile(r"(?<=[\[ ])d-[0-9a-hjkmnp-tv-z]{10}/(E\d{1,3})(?=[,\]])")
_TALK = re.compile(r"<@[A-Z0-9]+(?:\|[^<>]*)?>")
_CHANNEL = re.compile(r"<#[A-Z0-9]+\|([^<>]*)>")
_ADDRESS = re.compile(r"<((?:https?|mailto):[^<>|]*)(?:\|([^<>]*))?>")
_OTHER = re.compile(r"<![^<>|]*(?:\|([^<>]*))?>")
PAGES = {"i": "/incidents/", "p": "/approvals/", "t": "/reports/"}


def question_of(text: str) -> str:
    """What a person typed, without Slack's own markup.

    >>> question_of("<@U0WATCH> why is &lt;x&gt; in <#C1|churn> <https://a.example/x|there>?")
    'why is <x> in #churn there?'
    """
    text = _CHANNEL.sub(r"#\1", _TALK.sub("", text))
    text = _ADDRESS.sub(lambda found: found[2] or found[1], text)
    text = _OTHER.sub(lambda found: found[1] or "", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def short(text: str) -> str:
    """Facts by their number alone, as on the card; the sources under the answer name them in full.

    >>> short("It fell [i-7k2m9xq4c1, d-7k2m9xq4c1/E1, d-7k2m9xq4c1/E2].")
    'It fell [i-7k2m9xq4c1, E1, E2].'
    """
    return _FACT.sub(r"\1", text)


def to_markdown(text: str, public_url: str = "") -> str:
    """For `markdown_text`: the path of a record becomes an address of the console, no bracket can begin a mention.

    >>> to_markdown("see [i-1](/incidents/i-1) <!here>", "https://w.example")
    'see [i-1](https://w.example/incidents/i-1) ‹!here>'
    """

    def linked(found: re.Match[str]) -> str:
        label, target = found[1], _target(found[2], public_url)
        return f"[{label}]({target})" if target else label

    return _LINK.sub(linked, short(text)).replace("<", "‹")


def to_mrkdwn(text: str, public_url: str = "") -> str:
    """For `text` and sections, where a workspace takes no stream.

    >>> to_mrkdwn("**A** & <b>\\n- see [i-1](/incidents/i-1)", "https://w.example")
    '*A* &amp; &lt;b&gt;\\n• see <https://w.example/incidents/i-1|i-1>'
    """
    kept: list[str] = []

    def linked(found: re.Match[str]) -> str:
        label, target = found[1], _target(found[2], public_url)
        if not target:
            return label
        kept.append(f"<{escaped(target)}|{escaped(label.replace('|', '¦'))}>")
        return f"\ue000{len(kept) - 1}\ue001"

    text = _LINK.sub(linked, short(text).replace("\ue000", "").replace("\ue001", ""))
    text = escaped(text)
    text = _HEADING.sub(r"*\1*", _BULLET.sub(r"\1• ", _BOLD.sub(r"*\1*", text)))
    for number, link in enumerate(kept):
        text = text.replace(f"\ue000{number}\ue001", link)
    return text


def _target(target: str, public_url: str) -> str:
    """The address of a page of ours; "" for anything else."""
    if target.startswith("/") and not target.startswith("//"):
        return console(public_url, target)
    return target if public_url and target.startswith(public_url.rstrip("/") + "/") else ""


def source_links(sources: list[str], public_url: str, most: int = 12) -> str:
    """Where an answer has its facts from; records with a page of ours are linked (ready mrkdwn)."""
    shown = []
    for source in sources[:most]:
        record = source.partition("/")[0]
        page = PAGES.get(record[:1], "") if _RECORD.fullmatch(record) else ""
        address = console(public_url, f"{page}{record}") if page else ""
        shown.append(f"<{address}|{escaped(source)}>" if address else escaped(source.replace("`", "ˋ")))
    more = len(sources) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def pieces(text: str, longest: int) -> list[str]:
    """A text in parts of at most `longest`, cut between lines or words where that is possible.

    >>> pieces("one two three", 8)
    ['one two ', 'three']
    """
    parts = []
    while size(text) > longest:
        room = text[:longest]
        while size(room) > longest:
            room = room[:-1]
        at = max(room.rfind("\n") + 1, room.rfind(" ") + 1 if "\n" not in room[longest // 2 :] else 0) or len(room)
        parts.append(text[:at])
        text = text[at:]
    return [*parts, text] if text else parts
