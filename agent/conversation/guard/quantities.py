"""Numbers as people write them: digits, separators, k and M, percent, units; whether one is a returned value."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

_GROUP = "[,  \u202f\u2009'’]"
_UNITS = {
    "ms": ("time", 0.001), "millisecond": ("time", 0.001), "s": ("time", 1.0), "sec": ("time", 1.0),
    "second": ("time", 1.0), "min": ("time", 60.0), "minute": ("time", 60.0), "h": ("time", 3600.0),
    "hr": ("time", 3600.0), "hour": ("time", 3600.0), "d": ("time", 86400.0), "day": ("time", 86400.0),
    "week": ("time", 604800.0), "w": ("time", 604800.0),
    "g": ("mass", 1.0), "kg": ("mass", 1000.0), "mg": ("mass", 0.001), "t": ("mass", 1e6),
    "m": ("length", 1.0), "km": ("length", 1000.0), "cm": ("length", 0.01), "mm": ("length", 0.001),
    "mi": ("length", 1609.344), "mile": ("length", 1609.344), "ft": ("length", 0.3048),
    "pa": ("pressure", 1.0), "hpa": ("pressure", 100.0), "kpa": ("pressure", 1000.0), "bar": ("pressure", 1e5),
    "mbar": ("pressure", 100.0), "m/s": ("speed", 1.0), "km/h": ("speed", 1 / 3.6), "mph": ("speed", 0.44704),
    "b": ("bytes", 1.0), "kb": ("bytes", 1e3), "mb": ("bytes", 1e6), "gb": ("bytes", 1e9),
    "%": ("share", 0.01), "percent": ("share", 0.01), "per cent": ("share", 0.01), "pct": ("share", 0.01),
    "point": ("share", 0.01), "pp": ("share", 0.01), "percentage point": ("share", 0.01), "basis point": ("share", 1e-4),
}  # fmt: skip
_TEMPERATURE = {"c": "c", "°c": "c", "degc": "c", "celsius": "c", "°f": "f", "degf": "f", "fahrenheit": "f", "k": "k",
                "kelvin": "k"}  # fmt: skip
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
HEDGE = re.compile(
    r"(?i)(?:about|around|roughly|approximately|approx\.?|nearly|almost|some|close to|~|≈|circa|ca\.?|just (?:over|under))\s*$"
)
_MORE = re.compile(r"(?i)(?:more than|over|above|at least|just over|exceed(?:s|ed|ing)|greater than|>|≥|>=)\s*$")
_LESS = re.compile(r"(?i)(?:less than|under|below|at most|just under|fewer than|up to|within|<|≤|<=)\s*$")
NUMBER = re.compile(
    rf"(?<![\w.,\-−/:#@+])(?P<sign>[+\-−]?)(?P<whole>\d{{1,3}}(?:{_GROUP}\d{{3}})+(?!\d)|\d+)(?P<part>[.]\d+|,\d{{1,2}}(?!\d))?"
    r"(?P<exponent>[eE][+-]?\d{1,3})?"
    r"(?:\s?(?P<scale>k|thousand|million|billion|bn|M)(?![\w/]))?"
    r"(?:[\s-]?(?P<unit>%|percentage points?|basis points?|per ?cent|percent|pct|points?|pp|°[CF]|deg[CF]|celsius|"
    r"fahrenheit|kelvin|K|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|ms|km/h|m/s|mph|hPa|kPa|"
    r"Pa|mbar|bar|kg|mg|km|cm|mm|miles?|mi|ft|kB|KB|MB|GB|min|[sghdwmt])(?![\w/]))?(?![\w]|[-/]\w|[.,]\d)"
)


@dataclass(frozen=True)
class Said:
    """A number in a text. `digits`: decimals that were written; `unit` in its canonical short form."""

    start: int
    end: int
    value: float
    digits: int
    scale: float = 1.0
    unit: str = ""
    hedge: str = ""  # about | more | less
    word: bool = False
    signed: bool = False

    @property
    def is_time(self) -> bool:
        return _UNITS.get(self.unit, ("",))[0] == "time"

    @property
    def whole(self) -> bool:
        return self.digits == 0 and self.scale == 1 and not self.unit


def find(text: str) -> Iterator[Said]:
    """Every number that is written in digits."""
    for found in NUMBER.finditer(text):
        whole = re.sub(_GROUP, "", found["whole"])
        part = (found["part"] or "").replace(",", ".")
        exponent = int(found["exponent"][1:]) if found["exponent"] else 0
        if len(whole) > 300 or abs(exponent) > 300:
            yield Said(found.start(), found.end(), float("nan"), 0)
            continue
        value = float(f"{whole}{part}e{exponent}")
        signed = bool(found["sign"])
        if found["sign"] in ("-", "−"):
            value = -value
        before = text[max(0, found.start() - 24) : found.start()]
        hedge = (
            "about"
            if HEDGE.search(before)
            else "more"
            if _MORE.search(before)
            else "less"
            if _LESS.search(before)
            else ""
        )
        unit, scale = _unit(found["unit"] or ""), _SCALES.get((found["scale"] or "").lower(), 1.0)
        digits = max(0, len(part) - 1 - exponent) if part or exponent else 0
        yield Said(found.start(), found.end(), value, digits, scale, unit, hedge, signed=signed)


def _unit(text: str) -> str:
    """
    >>> _unit("minutes"), _unit("per cent"), _unit("°C")
    ('min', '%', 'c')
    """
    low = text.lower()
    if low in _TEMPERATURE and (low != "k" or text == "K"):
        return _TEMPERATURE[low]
    for name in (low, low.removesuffix("s")):
        if name in _UNITS:
            short = {"minute": "min", "second": "s", "sec": "s", "hour": "h", "hr": "h", "day": "d", "week": "w", "w": "w",
                     "millisecond": "ms", "percent": "%", "per cent": "%", "pct": "%", "pp": "point", "mile": "mi",
                     "percentage point": "point"}  # fmt: skip
            return short.get(name, name)
    return low


def near(said: Said, value: float) -> bool:
    """Whether a number that was written is this value, rounded to the digits that were written.

    >>> near(next(find("0.85")), 0.8468), near(next(find("0.86")), 0.8468), near(next(find("about 1,200")), 1234.0)
    (True, False, True)
    """
    if said.value != said.value or value != value:
        return False
    shown, unit = said.value * said.scale, said.scale * 10.0**-said.digits
    if not said.signed:
        value = abs(value) if shown >= 0 else value
    if said.hedge == "about" and said.digits == 0 and shown:
        while shown % (unit * 10) == 0:
            unit *= 10
        unit = min(unit, max(0.1 * abs(value), said.scale))  # `about 1,200` is 1,234; `about 20` is no 23
    slack = 0.5 * unit * (1 + 1e-9) + 1e-12 * abs(value)
    if said.hedge == "about":
        slack = max(slack, 0.02 * abs(value))
    if said.hedge == "more" and value > shown:
        return value - shown <= max(0.1 * abs(value), unit)
    if said.hedge == "less" and value < shown:
        return shown - value <= max(0.1 * abs(value), unit)
    if abs(shown - value) > slack:
        return False
    # 0.3 is no 0, and 0.93 no 1: rounding may not say nothing, or everything.
    return not (said.digits == 0 and said.scale == 1 and abs(value) < 1 and shown in (0, 1) and value != shown)


def matches(said: Said, value: float, unit: str = "", *, share: bool = False) -> bool:
    """Whether a number as written is this returned value, whose unit is `unit` (`""`: none); `share`: it is a
    probability or a share, of which percent never claim certainty."""
    has = _unit(unit) if (unit and _unit(unit) in _UNITS) or _unit(unit) in ("c", "f", "k") else ""
    if said.unit in ("%", "point") and has in ("%", "point"):
        return near(said, value)
    if said.unit in ("%", "point"):
        if has:
            return False
        whole = 100 * value
        clamped = (
            share
            and said.digits == 0
            and ((said.value == 99 and 99 <= whole < 100) or (said.value == 1 and 0 < whole <= 1))
        )
        return clamped or near(said, whole)
    if not said.unit or not has:
        if has == "%" and not said.unit:
            return near(said, value) or near(said, value / 100)
        return near(said, value)
    if said.unit in ("c", "f", "k") or has in ("c", "f", "k"):
        return (
            said.unit in ("c", "f", "k") and has in ("c", "f", "k") and near(said, _temperature(value, has, said.unit))
        )
    (kind, factor), (wanted, size) = _UNITS[said.unit], _UNITS[has]
    return kind == wanted and near(said, value * size / factor)


def _temperature(value: float, given: str, wanted: str) -> float:
    celsius = {"c": value, "f": (value - 32) / 1.8, "k": value - 273.15}[given]
    return {"c": celsius, "f": celsius * 1.8 + 32, "k": celsius + 273.15}[wanted]


def seconds(said: Said) -> float:
    """A written length of time in seconds."""
    return said.value * said.scale * _UNITS[said.unit][1]


def unit_seconds(said: Said) -> float:
    """The size of its last written digit in seconds."""
    return float(_UNITS[said.unit][1]) * said.scale * 10.0**-said.digits


def span_of_key(key: str, value: float) -> timedelta | None:
    """The length of time in a field whose name says its unit (`seconds`, `delay_ms`, `hours`)."""
    last = key.rpartition("_")[2]
    size = {"seconds": 1.0, "s": 1.0, "ms": 0.001, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}.get(last)
    return None if size is None or abs(value * size) > 1e11 else timedelta(seconds=value * size)


def parse_length(text: str) -> timedelta | None:
    """`7d`, `36 h`, `2 d 1 h` as a length of time; None for anything else."""
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?\s?(?:ms|s|min|h|d|w)\s?){1,3}", text) or len(text) > 24:
        return None
    return timedelta(seconds=sum(seconds(one) for one in find(text)))


_N_AFTER = re.compile(
    r"(?i)^\s?(?:[a-z]+[ -]){0,2}?(?:rows?|labels?|samples?|predictions?|examples?|observations?|data points)\b"
)
_SURE_AFTER = re.compile(r"(?i)^[\s(]{0,2}(?:sure|certain|likely|confiden\w+|probab\w+|chance)\b")
_BEFORE_WORDS = (
    (
        "threshold",
        re.compile(
            r"(?i)(?:threshold|limit|bound|alarm level)\b(?:\s(?:of|is|at|was|set|to|being|for|in|on|its|the|here))*\W{0,2}$"
        ),
    ),
    ("n", re.compile(r"(?i)\bn\s?(?:=|is|of)?\s?$")),
    (
        "probability",
        re.compile(
            r"(?i)(?:probability|confidence|likelihood|certainty|chance)\b(?:\s(?:of|is|at|was|for|in|that|it|a|the))*\W{0,2}$"
        ),
    ),
    ("similarity", re.compile(r"(?i)(?:similarity|similar|match(?:es)?|score)\b(?:\s(?:of|is|at|to|by))*\W{0,2}$")),
    ("tolerance", re.compile(r"(?i)tolerance\b(?:\s(?:of|is|at|to))*\W{0,2}$")),
    ("low", re.compile(r"(?i)(?:lower (?:end|bound|limit))\b(?:\s(?:of|is|at|to))*\W{0,2}$")),
    ("high", re.compile(r"(?i)(?:upper (?:end|bound|limit))\b(?:\s(?:of|is|at|to))*\W{0,2}$")),
)
_THRESHOLD_AFTER = re.compile(r"(?i)^[\s(]{0,2}(?:threshold|limit)\b")
_SIMILAR_AFTER = re.compile(r"(?i)^[\s(]{0,2}(?:similar|alike|match)\b")


def role_in_text(text: str, said: Said) -> str | None:
    """What the words next to a number say that it is; None where they say nothing."""
    # Names were masked by blanks: `the threshold of <name> is` reads `the threshold of is`.
    after, before = text[said.end : said.end + 60], text[max(0, said.start - 90) : said.start]
    after, before = re.sub(r"\s+", " ", after)[:40], re.sub(r"\s+", " ", before)[-40:]
    before = re.sub(HEDGE.pattern[4:], "", before, flags=re.IGNORECASE)
    for pattern, role in (
        (_THRESHOLD_AFTER, "threshold"),
        (_SURE_AFTER, "probability"),
        (_SIMILAR_AFTER, "similarity"),
    ):
        if pattern.search(after):
            return role
    if said.digits == 0 and said.unit in ("", "d", "m") and _N_AFTER.search(after):
        return "n"
    return next((role for role, pattern in _BEFORE_WORDS if pattern.search(before)), None)
