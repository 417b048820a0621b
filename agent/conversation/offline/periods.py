"""A span of time beside the one before it, as people ask for it: `this month with last`, `week over week`. Pure."""

from __future__ import annotations

import re

_DAYS = {"day": 1, "today": 1, "week": 7, "fortnight": 14, "month": 30, "quarter": 91, "year": 365}
_UNIT = "(?P<{}>day|week|fortnight|month|quarter|year)"
_JOIN = r"(?:with|to|and|vs\.?|versus|against|beside|than|over|from)"
_BEFORE = (
    r"(?:(?:the )?(?:last|previous|prior|preceding|earlier|past)\b|(?:the )?(?:one|day|week|month|year)s? before"
    r"|(?:the )?quarter before|(?:the )?\d+ (?:days?|weeks?|months?) before)"
)
_FORMS = (
    re.compile(rf"\b(?:this|the|current|last|past) {_UNIT.format('a')}\b.{{0,40}}?\b{_JOIN} {_BEFORE}"),
    re.compile(r"\b(?P<today>today)\b.{0,40}?\b" + _JOIN + r" yesterday\b"),
    re.compile(rf"\b{_UNIT.format('b')}[ -](?:over|on|by)[ -](?P=b)\b"),
    re.compile(
        rf"\b(?:last|past) (?P<n>\d{{1,4}}) {_UNIT.format('c')}s?\b.{{0,40}}?\b{_JOIN} "
        rf"(?:{_BEFORE}|(?:the )?\d+ before)"
    ),
)


def compared_days(text: str) -> int:
    """How many days are to be set beside as many before them; 0 where a text asks for no such thing.

    >>> compared_days("compare churn this month with last"), compared_days("Today vs yesterday?")
    (30, 1)
    >>> compared_days("the last 14 days against the 14 before"), compared_days("compare version 2 with 3")
    (14, 0)
    """
    lowered = " ".join(text.lower().split())
    for form in _FORMS:
        match = form.search(lowered)
        if match is not None:
            found = {key: value for key, value in match.groupdict().items() if value}
            unit = next(value for key, value in found.items() if key != "n")
            return min(int(found.get("n", 1)) * _DAYS[unit], 3650)
    return 0
