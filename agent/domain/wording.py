"""Numbers, times, names and actions as a person reads them: the same words in reports, answers and messages."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

LONGEST = 600
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def figure(value: float | None) -> float | None:
    """A number rounded as it is shown: three significant digits, and never fewer than its whole part.

    >>> figure(0.84682), figure(59.3278), figure(12345.6), figure(float("nan"))
    (0.847, 59.3, 12346.0, None)
    """
    if value is None or not math.isfinite(value):
        return None
    if value == 0:
        return 0.0
    digits = 2 - math.floor(math.log10(abs(value)))
    return round(float(value), max(digits, 0))


def shown(value: float | None) -> str:
    """A rounded number as text, without an exponent; `no data` where there is none.

    >>> shown(12346.0), shown(0.847), shown(None)
    ('12346', '0.847', 'no data')
    """
    if value is None:
        return "no data"
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def percent(share: float) -> int:
    """A share as whole percent; certainty is never claimed by rounding.

    >>> percent(0.996), percent(0.002), percent(1.0)
    (99, 1, 100)
    """
    if 0 < share < 1:
        return min(max(round(share * 100), 1), 99)
    return round(share * 100)


def length(span: timedelta | float) -> str:
    """A length of time (or seconds) in its two largest units.

    >>> length(timedelta(hours=49)), length(90), length(2.34)
    ('2 d 1 h', '1 min 30 s', '2.3 s')
    """
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 60:
        return f"{sign}{shown(round(seconds, 1))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{sign}{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{sign}{days} d" + (f" {hours} h" if hours else "")


def moment(time: datetime | None) -> str:
    """A time for people: minutes, UTC.

    >>> moment(None)
    'unknown'
    """
    return "unknown" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def visible(text: object, longest: int = LONGEST) -> str:
    """Untrusted text on one line: what cannot be seen or turns the reading direction is written out, and it has an end.

    >>> visible("a\\u202eb\\nc")
    'a<U+202E>b c'
    """
    out = []
    for char in str(text)[: longest + 1]:
        if char in "\n\r\t":
            out.append(" ")
        elif unicodedata.category(char) in _HIDDEN:
            out.append(f"<U+{ord(char):04X}>")
        else:
            out.append(char)
    whole = "".join(out)
    return whole if len(str(text)) <= longest else f"{whole[:longest]} (cut)"


def words(name: str) -> str:
    """A closed-set name (`data_pipeline_fault`) as words.

    >>> words("concept_drift_gradual"), words("data_pipeline_fault")
    ('gradual concept drift', 'data pipeline fault')
    """
    kind = name.removeprefix("concept_drift_")
    return visible(f"{kind} concept drift" if kind != name else name.replace("_", " "))


def names(items: list[str] | tuple[str, ...], most: int = 6) -> str:
    """A short list in words.

    >>> names(["a", "b", "c"])
    'a, b and c'
    """
    clear = [visible(item, 80) for item in items]
    if len(clear) > most:
        return f"{', '.join(clear[:most])} and others"
    return " and ".join([", ".join(clear[:-1]), clear[-1]] if len(clear) > 1 else clear)


def in_order_to(action: Mapping[str, Any]) -> str:
    """What an action does, in words that start with a verb; from the exact parameters.

    >>> in_order_to({"kind": "rollback", "model": "m", "expected_version": "3", "to_version": "2"})
    'roll back to version 2 (from version 3)'
    """
    kind = str(action.get("kind", ""))
    version, target = visible(action.get("expected_version") or "none", 40), visible(action.get("to_version", "?"), 40)
    rows = f"the rows from {_time(action, 'window_start')} to {_time(action, 'window_end')}"
    match kind:
        case "retrain":
            return f"retrain on {rows}, and replace version {version} if the new one is better"
        case "recalibrate":
            return f"recalibrate version {version} on {rows}"
        case "rollback":
            return f"roll back to version {target} (from version {version})"
        case "promote":
            return f"promote version {target} (from version {version})"
        case "refresh_reference":
            return f"compare against {rows} from now on"
        case "fix_data":
            columns, repair = names(list(action.get("features", []))), visible(action.get("repair", ""))
            since = _time(action, "onset")
            return f"have {columns} repaired at the source ({repair}), and keep the rows since {since} out of training"
        case "silence":
            what = visible(action.get("monitor") or "all alerts", 80)
            of = f" of {visible(action['feature'], 80)}" if action.get("feature") else ""
            return f"silence {what}{of} until {_time(action, 'until')}"
        case "wait_for_labels":
            return f"wait for {action.get('labels_needed', '?')} more labels"
        case "no_action":
            return "change nothing"
    return words(kind)


DONE: Mapping[str, str] = {
    "retrain": "retraining",
    "recalibrate": "recalibration",
    "rollback": "rollback",
    "promote": "promotion",
    "refresh_reference": "change of reference",
    "fix_data": "data repair",
    "silence": "silence",
    "wait_for_labels": "wait for labels",
    "no_action": "no action",
}
"""The action as a noun."""


def _time(action: Mapping[str, Any], key: str) -> str:
    try:
        return moment(datetime.fromisoformat(str(action[key])))
    except (KeyError, ValueError):
        return "unknown"
