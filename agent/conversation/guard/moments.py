"""Times as people write them, and whether one is a returned time to the precision that was written."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|" \
         r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"  # fmt: skip
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?\s?(?P<half>[ap]\.?m\.?)?(?:\s?(?:UTC|GMT|Z|[+-]\d\d:?\d\d))?"
_AT = rf"(?:[T,]?\s?(?:at\s)?{_CLOCK})?"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w-])(?P<year>\d{{4}})-(?P<mon>\d\d)-(?P<day>\d\d){_AT}(?![\w:])",
        rf"(?<![\w-])(?P<year>\d{{4}})/(?P<mon>\d\d)/(?P<day>\d\d){_AT}(?![\w:])",
        rf"(?<![\w-])(?P<day>\d{{1,2}})[./](?P<mon>\d{{1,2}})[./](?P<year>\d{{4}}){_AT}(?![\w:])",
        rf"(?<![\w-])(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)?[\s-]{_MONTH}(?:,?[\s-](?P<year>\d{{4}}))?{_AT}(?![\w:])",
        rf"(?<![\w-]){_MONTH}\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(?P<year>\d{{4}}))?{_AT}(?![\w:])",
        rf"(?<![\w-]){_MONTH}\s(?P<year>\d{{4}})(?!\w)",
        rf"(?<![\w:.-]){_CLOCK}(?![\w:])",
    )
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY = re.compile(r"(?i)\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b")


@dataclass(frozen=True)
class Told:
    """A time in a text; what was not written is None."""

    start: int
    end: int
    year: int | None = None
    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None
    weekday: int | None = None
    swapped: bool = False  # 03/04/2026: the day may stand first or second

    def is_time(self, at: datetime) -> bool:
        """Whether this is that moment, as far as it was written."""
        rounded = at + timedelta(seconds=30) if self.minute is not None and self.second is None else at
        return any(self._is(one) for one in {at, rounded})

    def _is(self, at: datetime) -> bool:
        pairs = ((self.year, at.year), (self.hour, at.hour), (self.minute, at.minute), (self.second, at.second),
                 (self.weekday, at.weekday()))  # fmt: skip
        if any(said is not None and said != real for said, real in pairs):
            return False
        days = [(self.month, self.day)] + ([(self.day, self.month)] if self.swapped else [])
        return any((m is None or m == at.month) and (d is None or d == at.day) for m, d in days)

    @property
    def clock_only(self) -> bool:
        return self.day is None and self.month is None and self.weekday is None


def find(text: str) -> Iterator[Told]:
    """Every time in a text, in order."""
    taken: list[tuple[int, int]] = []
    told: list[Told] = []
    for pattern in _PATTERNS:
        for found in pattern.finditer(text):
            if any(found.start() < end and start < found.end() for start, end in taken):
                continue
            taken.append(found.span())
            told.append(_told(found))
    for found in _WEEKDAY.finditer(text):
        told.append(Told(found.start(), found.end(), weekday=_DAYS.index(found[1].lower())))
    yield from sorted(told, key=lambda one: one.start)


def _told(found: re.Match[str]) -> Told:
    part = {"year": None, "month": None, "mon": None, "day": None, "hour": None, "minute": None, "second": None,
            "half": None, **found.groupdict()}  # fmt: skip
    number = {key: int(part[key] or 0) if part[key] else None for key in ("year", "day", "hour", "minute", "second")}
    month = int(part["mon"]) if part["mon"] else None
    if part["month"]:
        month = 1 + next(n for n, name in enumerate(_MONTHS) if name.startswith(part["month"].lower()[:3]))
    hour = number["hour"]
    if hour is not None and part["half"]:
        hour = hour % 12 + (12 if part["half"].lower().startswith("p") else 0)
    swapped = (
        "/" in found[0] and bool(part["mon"]) and found[0][:3].strip("/").isdigit() and len(found[0].split("/")[0]) <= 2
    )
    start, end = found.span()
    return Told(
        start, end, number["year"], month, number["day"], hour, number["minute"], number["second"], None, swapped
    )


def parse_iso(value: Any) -> datetime | None:
    """A returned time: ISO 8601 text, or a datetime; a time without a zone is UTC. None for anything else.

    >>> parse_iso("2026-02-10T12:00:00Z").isoformat(), parse_iso("12"), parse_iso("2026-02-10").day
    ('2026-02-10T12:00:00+00:00', None, 10)
    """
    if isinstance(value, str):
        if not re.match(r"\d{4}-\d\d-\d\d", value) or len(value) > 40:
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
