"""Characters that are not what they seem: taken out where a person reads, written out where a model reads."""

from __future__ import annotations

import re
import unicodedata

TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # colours, cursor moves
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Letters that draw nothing, and marks that only choose how the one before is drawn: Unicode does not call them hidden.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d") | frozenset(
    map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
_PLAIN = re.compile(r"[\x20-\x7e\n]*")


def is_hidden(char: str) -> bool:
    """A control character, a direction override, a joiner, a surrogate, a blank letter: anything that draws nothing."""
    return char in _BLANK or unicodedata.category(char) in _HIDDEN


def unveiled(text: str) -> str:
    """The text for a person: terminal escapes and hidden characters gone, line ends and tabs kept plain.

    >>> unveiled("a\\x1b[31mb\\u202ec\\u200bd")
    'abcd'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    if _PLAIN.fullmatch(text):
        return text
    text = TERMINAL.sub("", text.replace("\u2028", "\n").replace("\u2029", "\n"))
    return "".join(char for char in text if char == "\n" or not is_hidden(char))


def written_out(text: str) -> str:
    """The text for a model, with what is hidden in it written out, so that it can neither act nor stay unseen.

    >>> written_out("a\\u202eb")
    'a<U+202E>b'
    """
    text = text.replace("\r\n", "\n").replace("\t", " ")
    if _PLAIN.fullmatch(text):
        return text
    return "".join(char if char == "\n" or not is_hidden(char) else f"<U+{ord(char):04X}>" for char in text)
