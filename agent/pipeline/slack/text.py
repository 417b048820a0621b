"""Text for Slack. What comes from outside is data there too: escaped, disarmed, on one line, and with an end.

Slack's mrkdwn has no escape for its own signs, so those of a foreign text are replaced by letters that look like them:
nothing in it can turn into bold print, a code span, a link, a mention or an emoji, and no line of ours can be forged.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from agent.domain.wording import moment, visible

ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LOOKALIKES = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "\u2028": " ", "\u2029": " "})
_UNDERSCORE = re.compile(r"(?<![\w])_|_(?![\w])")
_EMOJI_NAME = re.compile(r":(?=[a-z0-9_+'-]{1,100}:)", re.IGNORECASE)
_ANYBODY = re.compile(r"[@＠﹫](?=\w)")
CUT = "…"
# What belongs to the sign before it, so that a cut must not fall between them.
_JOINERS = ("\u200d", "\ufe0f", "\ufe0e")


def size(text: str) -> int:
    """The length as Slack may count it: in UTF-16 units, of which an emoji has two.

    >>> size("ab"), size("😀")
    (2, 2)
    """
    return len(text) + sum(char > "\uffff" for char in text)


def escaped(text: str) -> str:
    """A text in which nothing is a link or a mention.

    >>> escaped("<@U1> & <!here>")
    '&lt;@U1&gt; &amp; &lt;!here&gt;'
    """
    return "".join(ESCAPES.get(char, char) for char in text)


def cut(text: str, longest: int, *, escape: bool = True) -> str:
    """The beginning of a text that, escaped, is at most `longest` long; a cut is marked, and splits no sign.

    >>> cut("a<b<c", 8), cut("abc", 3), cut("👩‍🚒👩‍🚒", 6)
    ('a&lt;b…', 'abc', '👩‍🚒…')
    """
    cost = [size(ESCAPES.get(char, char) if escape else char) for char in text]
    if sum(cost) > longest:
        room, end = longest - 1, 0
        while end < len(text) and cost[end] <= room:
            room -= cost[end]
            end += 1
        text = text[: _boundary(text, end)].rstrip() + CUT
    return escaped(text) if escape else text


def _boundary(text: str, end: int) -> int:
    """The last place at or before `end` that does not split a sign from what belongs to it."""
    while 0 < end < len(text) and (
        text[end] in _JOINERS or text[end - 1] == "\u200d" or unicodedata.combining(text[end]) > 0
    ):
        end -= 1
    return end


def disarmed(text: object, longest: int = 600) -> str:
    """Untrusted text on one line, not escaped yet: hidden signs are written out, formatting is taken away."""
    seen = visible(text, max(longest, 1) * 2).translate(_LOOKALIKES)
    return _ANYBODY.sub("", _EMOJI_NAME.sub("꞉", _UNDERSCORE.sub("ˍ", seen)))


def said(text: object, longest: int = 600) -> str:
    """Untrusted text for a mrkdwn object: disarmed, cut and escaped.

    >>> said("*APPROVED* by <!channel> :white_check_mark:\\n@ann", 80)
    '∗APPROVED∗ by &lt;!channel&gt; ꞉white_check_mark: ann'
    """
    return cut(disarmed(text, longest), longest)


def code(text: object, longest: int = 80) -> str:
    """A name as it is written, in a code span: nothing in it is formatted.

    >>> code("my_model*"), code("a`b")
    ('`my_model*`', '`aˋb`')
    """
    inner = cut(visible(text, longest * 2).replace("`", "ˋ"), longest) or "–"
    return f"`{inner}`"


def bold(text: str) -> str:
    """Words of ours in bold."""
    return f"*{text}*"


def link(url: str, label: str) -> str:
    """A link to our own console; the words alone where there is no address.

    >>> link("https://w.example/incidents/i-1", "i-1"), link("", "i-1")
    ('<https://w.example/incidents/i-1|i-1>', 'i-1')
    """
    return f"<{url}|{label}>" if url else label


def when(time: datetime | None) -> str:
    """A time in the reader's own zone, with UTC where it cannot be shown so.

    >>> from datetime import UTC
    >>> when(datetime(2026, 3, 1, 12, tzinfo=UTC))
    '<!date^1772366400^{date_short_pretty} {time}|2026-03-01 12:00 UTC>'
    """
    if time is None:
        return "unknown"
    return f"<!date^{int(time.timestamp())}^{{date_short_pretty}} {{time}}|{moment(time)}>"


def console(public_url: str, path: str) -> str:
    """The address of a page of ours, "" where the console's own is not known.

    >>> console("https://w.example/", "/incidents/i-1"), console("", "/x")
    ('https://w.example/incidents/i-1', '')
    """
    return f"{public_url.rstrip('/')}{path}" if public_url else ""
