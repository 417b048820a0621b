"""What sentences are made of: ids in square brackets at their end, numbers and times as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.conversation.offline.situation import Done, Situation
from agent.domain.wording import figure, moment, percent, shown, visible

MOST = 8
"""Entries of a list that one answer holds; `show me more` gives the next ones."""
_MARK = re.compile(r"⟦/?data [0-9a-f]{4,32}⟧")
_ID = re.compile(r"[a-z]-[0-9a-z]{3,16}(?:/E\d{1,4})?")

Told = list[str]


def cite(*ids: object) -> str:
    """` [i-7k2m9xq4c1, d-3fx81k2mpq/E3]`; nothing for nothing.

    >>> cite("i-7k2m9xq4c1", None, "not an id")
    ' [i-7k2m9xq4c1]'
    """
    known = [str(i) for i in ids if i and _ID.fullmatch(str(i))]
    return f" [{', '.join(dict.fromkeys(known))}]" if known else ""


def clause(text: object, longest: int = 300) -> str:
    """Untrusted text as a part of a sentence: on one line, with an end, without the marks that it came in."""
    return visible(_MARK.sub("", str(text or "")).strip(), longest).rstrip(".")


def number(value: Any) -> str:
    """A number with three significant digits; `no data` for none."""
    return shown(figure(float(value))) if isinstance(value, (int, float)) and not isinstance(value, bool) else "no data"


def interval(item: Mapping[str, Any]) -> str:
    """` (0.71 to 0.78)` of an item with `low` and `high`."""
    low, high = item.get("low"), item.get("high")
    return f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""


def share(value: Any) -> str:
    return f"{percent(float(value))} %" if isinstance(value, (int, float)) else "unknown"


def when(value: Any) -> str:
    """A time of a result as people read it."""
    if not value:
        return "unknown"
    try:
        return moment(datetime.fromisoformat(str(value)))
    except ValueError:
        return clause(value, 40)


def trouble(done: Iterable[Done]) -> Told:
    """What could not be told: errors, and that there is no data; never an all-clear."""
    said: Told = []
    for one in done:
        if one.ok:
            continue
        model = one.call.arguments.get("model")
        about = f"{model}: " if model and str(model) not in str(one.document.get("message", "")) else ""
        reason = clause(one.document.get("message"), 600)
        if one.document.get("status") == "no_data":
            said.append(f"{about}{reason or 'There is no data for that'}{cite(*evidence(one))}.")
        else:
            said.append(f"{about}That could not be read: {reason or 'no reason was given'}.")
    return list(dict.fromkeys(said))


def evidence(done: Done) -> Sequence[str]:
    found = done.document.get("evidence")
    return [str(one) for one in found][:2] if isinstance(found, list) else []


def items(situation: Situation, tool: str, key: str) -> list[Mapping[str, Any]]:
    """The entries of every result of a tool, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    for done in situation.of(tool):
        for entry in done.data.get(key, []):
            if isinstance(entry, Mapping):
                found.setdefault(str(entry.get("id") or (done.call.arguments.get("model"), entry)), entry)
    return list(found.values())


def page(situation: Situation, entries: Sequence[Any], tool: str) -> tuple[Sequence[Any], Told]:
    """The entries of the page that is asked for, and the sentence that says that there are more."""
    first = situation.asked.page * MOST
    shown_now = entries[first : first + MOST]
    left = len(entries) - first - len(shown_now)
    further = any(done.document.get("next") for done in situation.of(tool)[-1:])
    if not shown_now and entries:
        return [], ["That was all."]
    if left > 0 or further:
        return shown_now, ["There are more; to see them, say: show me more."]
    return shown_now, []


def quoted(text: object) -> str:
    said = clause(text)
    return f" (“{said}”)" if said else ""
