"""The last filter before a person reads: no foreign link or image, no mention, no HTML, nothing hidden.

Its output is plain text with the emphasis and lists of Markdown. It is safe to print on a terminal, to send as Slack
mrkdwn and, escaped as every text is, to show on a page.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from agent.conversation.guard.characters import unveiled

LONGEST = 20_000
REMOVED = "(link removed)"

_IMAGE = re.compile(r"!\[([^\]\n]{0,500})\]\s?(?:\(([^)\n]*)\)?|\[[^\]\n]*\])")
_LINK = re.compile(r"\[([^\[\]\n]{0,500})\]\(\s*([^)\n]*)\)?")
_REFERENCE = re.compile(r"(?m)^\s{0,3}\[[^\]\n]+\]:\s*\S.*$")
_SLACK = re.compile(r"<([^<>|\n]{1,2000})(?:\|([^<>\n]{0,500}))?>")
# Whatever has a scheme; what a client would open without one (`//host`, `www.`); paths on a host.
_ADDRESS = re.compile(
    r"(?i)(?<![a-z0-9])(?:[a-z][a-z0-9+.-]{1,30}:(?:/|\\){2}|https?:|(?:javascript|vbscript|data(?=:[a-z]+/)|mailto|tel|sms|file|blob|about|slack)"
    r":(?=\S)|(?<![:\w/])(?:/|\\){2}(?=[^\s/\\]+\.[^\s]))[^\s<>\"'`“”‘’]*"
)
_HOST = re.compile(
    r"(?i)(?<![\w.@/-])((?:[a-z0-9\u00a1-\uffff](?:[a-z0-9_\u00a1-\uffff-]{0,62})\.)+)"
    r"(?:(?:com|net|org|io|ai|dev|app|co|info|biz|xyz|site|online|top|club|shop|cloud|page|link|click|live|uk|de|fr|nl|eu|"
    r"ru|cn|br|jp|ch|pl|fi|dk|cz|ly|gl|gg|tv|cc|zip|mov|example|test|internal|local|onion)(?![\w-])(?::\d{1,5})?"
    r"|(?:me|us|in|at|be|it|es|se|no|to|sh|rs|md|py)(?=[/:]))(?::\d{1,5})?(/[^\s<>\"'`“”‘’]*)?"
)
_WWW = re.compile(r"(?i)(?<![\w.])www\.[^\s<>\"'`“”‘’]+")
_NUMERIC_HOST = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?/[^\s<>\"'`“”‘’]*")
_EVERYBODY = re.compile(r"(?i)[@＠﹫]\s?(here|channel|everyone|group|all|team)\b")
_MENTION = re.compile(r"(?<![\w.+-])[@＠﹫](?=\w)")
_TAG = re.compile(r"<(?=[A-Za-z/!?@#%$&\\])")
_RECORD_PATH = re.compile(r"/(?:(?:incidents|proposals|reports|executions|diagnoses)/[a-z]-[0-9a-z]{4,16})?")
_TRAILING = ".,;:!?)]}'\"*_"


def clean(text: str, public_url: str = "", *, secrets: Iterable[str] = ()) -> str:
    """A model's text as a person may read it.

    Links survive where they lead to `public_url` (same scheme, host and port) or to one of our records by its path.
    `secrets`: texts that must never be shown (keys, passwords), whatever put them there.

    >>> clean("<@U123> see [this](https://evil.example/?q=1) and https://evil.example")
    'U123 see this (link removed) and (link removed)'
    >>> clean("[i-7k2m9xq4c1](/incidents/i-7k2m9xq4c1)", "https://watch.example")
    '[i-7k2m9xq4c1](/incidents/i-7k2m9xq4c1)'
    """
    text = unveiled(text[: 2 * LONGEST])
    for secret in secrets:
        if len(secret) >= 6:
            text = text.replace(secret, "(secret removed)")
    for _ in range(4):  # what is left when one thing is taken out may be another
        before, text = text, _filtered(text, public_url)
        if text == before:
            break
    else:
        text = text.replace("<", "‹").replace("](", "] (")
    text = text.strip()
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " (cut)"


def _filtered(text: str, public_url: str) -> str:
    text = _REFERENCE.sub(REMOVED, text)
    text = _IMAGE.sub(lambda found: f"{found[1]} (image removed)".strip(), text)
    text = _SLACK.sub(lambda found: _angled(found, public_url), text)
    kept: list[str] = []

    def keep(address: str) -> str:
        kept.append(address)
        return f"\ue000{len(kept) - 1}\ue001"  # private-use characters: `unveiled` left none in the text

    def link(found: re.Match[str]) -> str:
        target = found[2].strip().split(" ")[0].strip("<>")
        if _ours(target, public_url):
            return f"[{found[1]}]({keep(target)})"
        return f"{found[1]} {REMOVED}".strip() if target else found[1]

    def address(found: re.Match[str]) -> str:
        bare = found[0].rstrip(_TRAILING)
        rest = found[0][len(bare) :]
        return (keep(bare) if _ours(bare, public_url) else REMOVED) + rest

    text = _LINK.sub(link, text)
    for pattern in (_ADDRESS, _WWW, _NUMERIC_HOST):
        text = pattern.sub(address, text)
    text = _HOST.sub(_bare_host, text)
    text = _EVERYBODY.sub(lambda found: found[1], text)
    text = _MENTION.sub("", text)
    text = _TAG.sub("‹", text)
    for number, kept_address in enumerate(kept):
        text = text.replace(f"\ue000{number}\ue001", kept_address)
    return text


def _angled(found: re.Match[str], public_url: str) -> str:
    """What stands between angle brackets: Slack's mentions and links, and HTML."""
    inner, label = found[1].strip(), found[2]
    if inner[:1] in ("@", "!", "#"):
        return label or re.sub(r"^(?:[@#]|!(?:subteam\^|date\^)?)", "", inner)
    if re.match(r"(?i)[a-z][a-z0-9+.-]*:", inner) or inner.startswith("//"):
        if _ours(inner, public_url):
            return f"[{label}]({inner})" if label else inner
        return f"{label} {REMOVED}" if label else REMOVED
    if re.match(r"[A-Za-z/!?]", inner) and not re.match(r"U\+[0-9A-F]{4,6}$", inner):
        return ""
    return found[0] if label is None else f"{inner} {label}"


def _bare_host(found: re.Match[str]) -> str:
    """A host without a scheme, which some clients turn into a link; with a path it is one."""
    if found[2] or found[0].lower().startswith("www."):
        return REMOVED
    return found[0].replace(".", "[.]")


def _ours(target: str, public_url: str) -> bool:
    """An address of our own console, or the path of one of our records."""
    target = html.unescape(target)
    if _RECORD_PATH.fullmatch(target) and target:
        return True
    if not public_url or re.search(r"[\s\\@<>]", target):
        return False
    try:
        wanted, given = urlsplit(public_url), urlsplit(target)
        same = (wanted.scheme, wanted.hostname, wanted.port) == (given.scheme, given.hostname, given.port)
    except ValueError:
        return False
    path = given.path.removeprefix(wanted.path.rstrip("/"))
    return same and not given.query and not given.fragment and _RECORD_PATH.fullmatch(path or "/") is not None
