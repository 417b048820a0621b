"""Text from outside, made safe to store and to show, once, at the edge."""

from __future__ import annotations

import re

_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_REORDERING = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """The text without control characters (PostgreSQL refuses NUL), lone surrogates (no encoding has them) and
    direction overrides (they make one text look like another).

    >>> clean_text("a\\x00b\\ud800c\\u202ed")
    'ab\ufffdcd'
    """
    return _REORDERING.sub("", _SURROGATE.sub("\ufffd", _UNSTORABLE.sub("", text)))
