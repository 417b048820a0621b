"""Times as people say them: `last week`, `since Tuesday`, `between 3 and 5 May`, `24h`. Pure; UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NUMBERS = {
    w: n for n, w in enumerate(("a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1)
}
_NUMBERS |= {"eleven": 11, "twelve": 12}
_NUMBERS |= {"an": 1, "one": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}
_UNITS = {"h": timedelta(hours=1), "d": DAY, "w": 7 * DAY, "m": 30 * DAY, "q": 91 * DAY, "y": 365 * DAY}

_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|satur|sat|sun)(?:day)?"
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
_MONTH += r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_DATE = r"(?:\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d)?z?)?"
_DATE += rf"|(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?: \d{{4}})?"
_DATE += rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)"
_UNIT = r"(?:hours?|hrs?|days?|weeks?|months?|quarters?|years?)"
_COUNT = r"(?:\d{1,4}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:a )?couple of|(?:a )?few)"
_POINT = rf"(?:{_DATE}|today|yesterday|tomorrow|now|tonight|(?:last |next |this |on )?{_WEEKDAY}\b|{_COUNT} {_UNIT} ago"
_POINT += r"|next week|(?:the )?(?:start|beginning|end) of (?:the|this) (?:week|month)"
_POINT += rf"|(?:last |this )?{_MONTH}\b(?: \d{{4}})?)"


@dataclass(frozen=True, slots=True)
class Span:
    """What was said of a time: a half-open span (either end may be open), and where in the text it was said."""

    since: datetime | None
    until: datetime | None
    said: str
    start: int
    end: int


def find(text: str, now: datetime) -> Span | None:
    """The first time that a text names, or None.

    >>> now = datetime(2026, 5, 20, 12, tzinfo=UTC)
    >>> span = find("what happened between 3 and 5 May?", now)
    >>> f"{span.since:%m-%d} {span.until:%m-%d}"
    '05-03 05-06'
    >>> f"{find('and since tuesday', now).since:%Y-%m-%d}", find("who may approve it", now)
    ('2026-05-19', None)
    """
    lowered = text.lower()
    for pattern, reading in _READINGS:
        for match in pattern.finditer(lowered):
            try:
                since, until = reading(match, now)
            except (OverflowError, ValueError):  # 9,999 years ago, the 30th of February
                continue
            if since is None and until is None:
                continue
            return Span(since, until, match[0], match.start(), match.end())
    return None


def _between(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    first, last = match["a"], match["b"]
    if first.isdigit():
        month = re.search(_MONTH, last)
        first = f"{first} {month[0]}" if month else first
    since, until = _point(first, now), _point(last, now)
    return (None, None) if since is None or until is None else (since, _after(until, last))


def _since(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    return _point(match["a"], now), None


def _until(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    return None, _point(match["a"], now, ahead=True)


def _lasting(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    """`for 3 days`: ahead of now; a tool that looks back turns it round."""
    return None, now + _count(match["n"]) * _unit(match["u"])


def _last_some(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    return now - _count(match["n"] or "1") * _unit(match["u"]), None


def _last_several(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    """`the past weeks`: four of them."""
    return now - 4 * _unit(match["u"]), None


def _day(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    point = _point(match["a"], now)
    return (None, None) if point is None else (point, _after(point, match["a"]))


def _this(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    today = _midnight(now)
    unit = match["u"]
    if unit.startswith("week"):
        return today - today.weekday() * DAY, None
    if unit == "month":
        return today.replace(day=1), None
    return (today.replace(month=1, day=1), None) if unit == "year" else (today, None)


def _overnight(match: re.Match[str], now: datetime) -> tuple[datetime | None, datetime | None]:
    return _midnight(now) - timedelta(hours=6), None


_Reading = Callable[[re.Match[str], datetime], tuple[datetime | None, datetime | None]]
_READINGS: tuple[tuple[re.Pattern[str], _Reading], ...] = (
    (re.compile(rf"\bbetween (?P<a>{_POINT}|\d{{1,2}})(?:st|nd|rd|th)? (?:and|to) (?P<b>{_POINT})"), _between),
    (
        re.compile(rf"\bfrom (?P<a>{_POINT}|\d{{1,2}})(?:st|nd|rd|th)? (?:to|until|till|through) (?P<b>{_POINT})"),
        _between,
    ),
    (re.compile(rf"\b(?:since|after|from|starting) (?:the )?(?P<a>{_POINT})"), _since),
    (re.compile(rf"\b(?:until|til|till|before|up to|by|unitl|untill) (?:the )?(?P<a>{_POINT})"), _until),
    (re.compile(rf"\bfor (?:the next )?(?P<n>{_COUNT}) (?P<u>{_UNIT})\b"), _lasting),
    (re.compile(r"\b(?:the )?(?:last|past|previous|recent) (?P<n>)(?P<u>days|weeks|months)\b"), _last_several),
    (re.compile(rf"\b(?:the )?(?:last|past|previous|recent|latest) (?:(?P<n>{_COUNT}) )?(?P<u>{_UNIT})\b"), _last_some),
    (re.compile(r"\b(?:the )?(?:last|past) (?P<n>\d{1,4}) ?(?P<u>h|d|w|m)\b"), _last_some),
    (re.compile(r"(?<![\w.-])(?P<n>\d{1,4}) ?(?P<u>h|d|w)\b(?! ago)"), _last_some),
    (re.compile(rf"\b(?P<n>{_COUNT}) (?P<u>{_UNIT}) ago\b"), _last_some),
    (re.compile(rf"\bin the last (?P<n>{_COUNT}) (?P<u>{_UNIT})\b"), _last_some),
    (re.compile(r"\b(?:this|the current) (?P<u>week|month|year)\b"), _this),
    (re.compile(r"\b(?:last night|overnight|over night|while i slept)\b"), _overnight),
    (re.compile(rf"\b(?:on |in |during )?(?P<a>{_DATE}|yesterday|today|last {_WEEKDAY}\b)"), _day),
    (re.compile(rf"\b(?:on (?P<a>{_WEEKDAY})\b)"), _day),
    (re.compile(rf"\b(?:in|during|for|last) (?P<a>{_MONTH})\b(?! i\b)"), _day),
)


def _point(said: str, now: datetime, *, ahead: bool = False) -> datetime | None:
    """One moment: the start of a day or month that is named. Names of days and months look back, or `ahead`."""
    said, today = said.strip().removeprefix("the ").removeprefix("on "), _midnight(now)
    if said in ("now", "today", "yesterday", "tomorrow", "tonight"):
        return now if said == "now" else today + DAY * {"yesterday": -1, "tomorrow": 1, "tonight": 0}.get(said, 0)
    if re.match(r"\d{4}-\d\d-\d\d", said):
        return _iso(said)
    if match := re.fullmatch(rf"({_COUNT}) ({_UNIT}) ago", said):
        return now - _count(match[1]) * _unit(match[2])
    if said == "next week":
        return today + (7 - today.weekday()) * DAY
    if match := re.search(r"(start|beginning|end) of (?:the|this) (week|month)", said):
        return _edge(today, match[2], last=match[1] == "end")
    if match := re.fullmatch(rf"(last |next |this )?({_WEEKDAY})", said):
        return _weekday(match[2], today, ahead=ahead or match[1] == "next ")
    return _calendar(said, now, ahead=ahead)


def _edge(today: datetime, unit: str, *, last: bool) -> datetime:
    start = today - today.weekday() * DAY if unit == "week" else today.replace(day=1)
    return start if not last else start + 7 * DAY if unit == "week" else _next_month(start)


def _weekday(said: str, today: datetime, *, ahead: bool) -> datetime:
    index = next(i for i, name in enumerate(_DAYS) if name.startswith(said[:3]))
    if ahead:
        return today + ((index - today.weekday() - 1) % 7 + 1) * DAY
    return today - ((today.weekday() - index - 1) % 7 + 1) * DAY


def _calendar(said: str, now: datetime, *, ahead: bool) -> datetime | None:
    """`5 May`, `May 5th 2026`, `May`: of this year, or of the one before or after."""
    name = re.search(_MONTH, said)
    if name is None:
        return None
    month = next(i for i, full in enumerate(_MONTHS, 1) if full.startswith(name[0][:3]))
    numbers = [int(n) for n in re.findall(r"\d+", said)]
    year = next((n for n in numbers if n > 31), None)
    number = next((n for n in numbers if n <= 31), 1)
    try:
        found = datetime(year or now.year, month, number, tzinfo=UTC)
        if year is None and ahead and found < now:
            return found.replace(year=found.year + 1)
        return found.replace(year=found.year - 1) if year is None and not ahead and found > now else found
    except ValueError:
        return None


def _iso(said: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(said.upper().replace(" ", "T"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _after(point: datetime, said: str) -> datetime:
    """The end of the day or month that was named."""
    if re.fullmatch(rf"(?:last |this )?{_MONTH}(?: \d{{4}})?", said.strip()):
        return _next_month(point)
    return point if re.search(r"\d\d:\d\d|now|ago", said) else point + DAY


def _next_month(start: datetime) -> datetime:
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _count(said: str) -> int:
    return int(said) if said.isdigit() else _NUMBERS[said]


def _unit(said: str) -> timedelta:
    return _UNITS["h" if said.startswith("h") else said[0]]
