"""Times and lengths of time in a sentence, against those that were returned."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from datetime import datetime, timedelta

from agent.conversation.guard import moments, quantities
from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.moments import Told
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Holder, Moment, Returned
from agent.conversation.guard.scope import Scope, scope_of

_ROLES: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (words, frozenset(keys.split()))
    for words, keys in (
        (r"opened|opening|detected|alerted|raised|noticed", "opened_at first_seen at opened detected window_end created_at"),
        (r"closed|resolved|over|ended|recovered|fixed", "resolved_at at closed recovered finished_at until window_end"),
        (r"since|began|begun|started|starting|onset|first (?:crossed|seen|breach\w*)", "onset first_breach started_at since opened_at first_seen window_start at created_at start frozen_at started"),
        (r"approve(?:d)? (?:by|before|until)|until|expires?|expiry|deadline|decide(?:d)? (?:by|before|until)|due|before", "approve_by execute_by until due_at window_end resolved_at cooldown_until at expires_at due end onset"),
        (r"last (?:look|looked|checked|seen)|looked at|latest look|as of", "last_look window_end last_seen at"),
        (r"deployed|deployment|went live|live|released|rolled out|promoted", "at created_at started_at finished_at decided_at deployed_at"),
        (r"created|filed|registered|trained|proposed|requested", "created_at at opened_at requested_at registered_at"),
        (r"approved|rejected|decided|signed off", "at decided_at approved_at"),
        (r"finished|completed|carried out|executed|done", "finished_at started_at at decided_at executed_at"),
    )
)  # fmt: skip


def check_times(sentence: Sentence, returned: Returned, now: datetime | None) -> list[str]:
    """What is wrong with the times that a sentence names; one line each."""
    problems = []
    last: datetime | None = None
    for told in sentence.times:
        scope = scope_of(sentence, Said(told.start, told.end, 0.0, 0))
        kin = [m for m in returned.moments if _of(m.holder, scope)]
        if told.clock_only and last is not None:
            kin = [m for m in kin if abs(m.at - last) < timedelta(days=1)] or kin
        right = [moment for moment in kin if told.is_time(moment.at)]
        words = sentence.text[told.start : told.end].strip()
        if not right and now is not None and told.is_time(now):
            continue
        if not right:
            problems.append(f"the time “{words}” stands in no result")
            continue
        keys = _role(sentence, told)
        cited = [
            m
            for m in kin
            if m.key in keys and any(k.startswith("record ") and m.holder.called(k) & n for k, n in scope.names.items())
        ]
        if (cited and not any(m in cited for m in right)) or (
            keys and any(m.key in keys for m in kin) and not any(m.key in keys for m in right)
        ):
            problems.append(f"the time “{words}” is that of something else ({right[0].key.replace('_', ' ')})")
        last = right[0].at
    problems += _ago(sentence, returned, now)
    return problems


def _role(sentence: Sentence, told: Told) -> frozenset[str]:
    """The fields that the verb before a time may mean."""
    before = sentence.text[max(0, told.start - 45) : told.start]
    nearest, keys = -1, frozenset[str]()
    for words, wanted in _ROLES:
        for found in re.finditer(rf"(?i)\b(?:{words})\b", before):
            if found.end() >= nearest:
                if found.end() > nearest:
                    keys = frozenset()
                nearest, keys = found.end(), keys | wanted
    return keys


def _of(holder: Holder, scope: Scope) -> bool:
    for kind in ("model", "feature", "version"):
        if scope.get(kind) and holder.called(kind) and not holder.called(kind) & scope.get(kind):
            return False
    return all(
        not holder.called(kind) or holder.called(kind) & names
        for kind, names in scope.names.items()
        if kind.startswith("record ")
    )


def _ago(sentence: Sentence, returned: Returned, now: datetime | None) -> list[str]:
    """`3 days ago`, `yesterday`: against the returned times, seen from now."""
    problems: list[str] = []
    if now is None:
        return problems
    for word, back in (("today", 0), ("yesterday", 1)):
        if sentence.says(word) and not any(
            (now - timedelta(days=back)).date() == m.at.date() for m in returned.moments
        ):
            problems.append(f"nothing that was returned happened {word}")
    return problems


def lengths(sentence: Sentence) -> list[tuple[list[Said], bool]]:
    """The lengths of time in a sentence (`2 d 1 h` is one), and whether each is `… ago`."""
    found: list[list[Said]] = []
    for said in sentence.numbers:
        if not said.is_time:
            continue
        between = sentence.masked[found[-1][-1].end : said.start] if found else "x"
        if (
            found
            and re.fullmatch(r"\s*(?:and|,)?\s*", between)
            and quantities.unit_seconds(found[-1][-1]) > quantities.unit_seconds(said)
        ):
            found[-1].append(said)
        else:
            found.append([said])
    return [
        (one, re.match(r"(?i)\s*(?:ago|earlier|before now)\b", sentence.masked[one[-1].end :]) is not None)
        for one in found
    ]


def is_length(parts: list[Said], sentence: Sentence, returned: Returned, now: datetime | None) -> bool:
    """Whether a length of time is one that was returned, or lies between two times of one record, or between one and now."""
    said = sum(quantities.seconds(part) for part in parts)
    slack = quantities.unit_seconds(parts[-1])
    if parts[-1].hedge == "about":
        slack = max(slack, 0.1 * said)
    scope = scope_of(sentence, parts[0])
    cited = [m for m in returned.moments if _is_cited(m.holder, scope)]
    for span, holder in returned.spans:
        if (not cited if holder is None else _of(holder, scope)) and abs(span.total_seconds() - said) <= min(
            0.5 * slack, 0.05 * said + 0.5 * slack
        ):
            return True
    kin: dict[int, list[Moment]] = {}
    for moment in cited or _spoken_of(sentence, returned):
        if _of(moment.holder, scope):
            for holder in _upwards(moment.holder):
                kin.setdefault(id(holder), []).append(moment)
    for group in kin.values():
        if len(group) > 400:
            continue
        times = {m.at for m in group}
        near_to_now = {abs((now - at).total_seconds()) for at in times} if now is not None else set()
        same = [m for m in group if m.holder is group[0].holder] if len(times) > 12 else group
        apart = {abs((a.at - b.at).total_seconds()) for a in same for b in same if a.at != b.at}
        if any(
            abs(length - said) <= 0.5 * slack or (0 <= length - said < slack and slack >= 60)
            for length in near_to_now | apart
        ):
            return True
    return False


def _spoken_of(sentence: Sentence, returned: Returned) -> list[Moment]:
    """The times of incidents where a sentence speaks of incidents alone; of proposals likewise."""
    nouns = {"incident": "i", "proposal": "p"}
    said = [
        noun
        for noun in (*nouns, "version", "look", "feature", "drift", "deployment", "rollback")
        if sentence.says(f"{noun}s?")
    ]
    if len(said) == 1 and said[0] in nouns:
        own = [m for m in returned.moments if m.holder.fields.get("id") in m.holder.called(f"record {nouns[said[0]]}")]
        return own or returned.moments
    return returned.moments


def _is_cited(holder: Holder, scope: Scope) -> bool:
    return any(kind.startswith("record ") and holder.called(kind) & names for kind, names in scope.names.items())


def _upwards(holder: Holder) -> list[Holder]:
    """A holder and the one above it; not the lists of everything."""
    found = [holder]
    if holder.above is not None and holder.listed not in (
        "incidents",
        "models",
        "proposals",
        "versions",
        "deployments",
        "similar",
        "executions",
        "points",
    ):
        found.append(holder.above)
    return found


def as_time(value: object) -> datetime | None:
    """A returned field as a time."""
    return moments.parse_iso(value)
