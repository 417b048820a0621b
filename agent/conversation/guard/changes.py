"""Differences and ratios of two returned values, where the sentence says that it speaks of one."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.conversation.guard import quantities
from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Fact, Holder, Returned
from agent.conversation.guard.scope import Scope, fits, scope_of

UP = r"rose|risen|rise|rises|rising|increas\w+|grew|grown|grow\w*|climb\w*|jump\w*|went up|gone up|up|higher|above|more|rais\w+|doubl\w+|tripl\w+|surg\w+|spik\w+|greater|larger"
DOWN = r"fell|fallen|fall\w*|drop\w*|decreas\w+|declin\w+|went down|gone down|down|lower\w*|below|less|fewer|shrank|shrunk|reduc\w+|halv\w+|cut\w*|sank|slid|smaller"
BETTER = r"improv\w+|better|help(?:s|ed)|gain(?:s|ed)?|recover\w*|benefit\w*"
WORSE = r"worse\w*|degrad\w+|deteriorat\w+|harm\w*|suffer\w*|regress\w*|hurt\w*"
_ANY = f"{UP}|{DOWN}|{BETTER}|{WORSE}|difference|change\\w*|gap|improvement|rise|loss"
_BY = re.compile(
    rf"(?i)\b(?:{_ANY})\s+(?:in\s+\w+\s+)?(?:by|of)\s+(?:only\s+|just\s+|as much as\s+)?(?:about|around|roughly|approximately|nearly|almost|some|~)?\s*$"
)
_NEAR_BY = re.compile(
    r"(?i)\b(?:by|up|down)\s+(?:only\s+|just\s+)?(?:about|around|roughly|approximately|nearly|almost|some|~)?\s*$"
)
_AFTER = re.compile(
    rf"(?i)^\s*(?:in \w+ )?(?:{UP}|{DOWN}|{BETTER}|{WORSE}|apart|difference|in difference)\b(?!\s*(?:rows|labels|approval|needed))"
)
_TIMES = re.compile(r"(?i)^\s*(?:x\b|×|times\b|-?\s?fold\b)")
_MULTIPLE = {
    "doubled": 2.0, "doubling": 2.0, "twice": 2.0, "double": 2.0, "tripled": 3.0, "triple": 3.0, "quadrupled": 4.0,
    "halved": 0.5, "half": 0.5,
}  # fmt: skip
_MULTIPLE_WORD = re.compile(rf"(?i)\b({'|'.join(_MULTIPLE)})\b(?!\s+(?:of the|an hour|a day|checked|as sure|way))")


@dataclass(frozen=True)
class Change:
    """What a number says of two others: their difference (with its sign, where it is said) or their ratio."""

    ratio: bool
    sign: int = 0


def sign_of(text: str) -> int:
    """1 where a text says that something rose, -1 where it fell, 0 where it says neither, or both."""
    up = re.search(rf"(?i)\b(?:{UP})\b", text) is not None
    down = re.search(rf"(?i)\b(?:{DOWN})\b", text) is not None
    return int(up) - int(down)


def quality_of(text: str) -> int:
    """1 for better, -1 for worse, 0 for neither or both."""
    better = re.search(rf"(?i)\b(?:{BETTER})\b", text) is not None
    return int(better) - int(re.search(rf"(?i)\b(?:{WORSE})\b", text) is not None)


def change_of(sentence: Sentence, said: Said) -> Change | None:
    """Whether a number is said to be a difference or a ratio."""
    before, after = sentence.masked[: said.start], sentence.masked[said.end :]
    if _TIMES.match(after) and not said.unit:
        return Change(True)
    clause = re.split(r"[;,.]\s", before)[-1] + re.split(r"[;,.]\s", after)[0]
    if _BY.search(before) or _NEAR_BY.search(before) or said.unit == "point" or _AFTER.match(after):
        if (
            re.search(r"(?i)\b(?:is|was|at|of|stands at)\s+(?:about\s+)?$", before)
            and not _BY.search(before)
            and not _AFTER.match(after)
        ):
            return None
        return Change(False, sign_of(clause))
    return None


def is_change(
    sentence: Sentence,
    said: Said,
    change: Change,
    scope: Scope,
    facts: list[tuple[Said, str, list[Fact]]],
    returned: Returned,
) -> bool:
    """Whether a number is the difference or the ratio of two returned values of the thing it speaks of."""
    if not change.ratio:
        kin = [f for f in returned.facts if f.role in ("difference", "written") and fits(f, scope, sentence, returned)]
        for fact in kin:
            signed = fact.value * change.sign
            # A gain is the fall of a loss: only a plain difference has the sign of what rose or fell.
            right_way = fact.key not in ("difference", "delta", "change") or signed >= 0
            if right_way and (quantities.matches(said, fact.value, fact.unit)):
                return True
    return any(_is_between(said, change, a, b, ordered) for a, b, ordered in _pairs(sentence, scope, facts, returned))


def _is_between(said: Said, change: Change, a: Fact, b: Fact, ordered: bool) -> bool:
    difference = b.value - a.value
    if change.ratio:
        ratios = [y / x for x, y in ((a.value, b.value), (b.value, a.value)) if x]
        return any(quantities.near(said, abs(ratio)) for ratio in ratios)
    if ordered and change.sign and difference * change.sign < 0:
        return False
    if quantities.matches(said, abs(difference), a.unit):
        return True
    relative = [abs(difference / x.value) for x in ((a,) if ordered else (a, b)) if x.value]
    return said.unit == "%" and any(quantities.near(said, 100 * one) for one in relative)


def _pairs(
    sentence: Sentence, scope: Scope, facts: list[tuple[Said, str, list[Fact]]], returned: Returned
) -> Iterator[tuple[Fact, Fact, bool]]:
    """Pairs of values that a sentence may set against each other; True where one came before the other."""
    said = [
        (role, fact)
        for _, role, found in facts
        for fact in found[:4]
        if role in ("value", "before", "after", "overall")
    ]
    for place, (role, one) in enumerate(said):
        for other_role, other in said[place + 1 :]:
            if role == "after" and other_role == "before":
                yield other, one, True
            else:
                yield one, other, role == "before" or other_role == "after"
    kin = [f for f in returned.facts if not f.written and fits(f, scope, sentence, returned)]
    for fact in kin:
        for other in kin:
            if fact.role == "before" and other.role == "after" and fact.holder is other.holder:
                yield fact, other, True
            limited = sentence.says("threshold|limit")
            if fact.role == "value" and other.role == "threshold" and fact.holder is other.holder and limited:
                yield other, fact, False
            if fact.role == "value" and other.role == "overall" and fact.holder is other.holder:
                yield other, fact, False
    values = [f for f in kin if f.role == "value"]
    for fact in values:
        line = sorted((h for h in fact.holder.siblings if h.time() and h.number(fact.key) is not None), key=time_of)
        if len(line) > 1 and fact.holder is line[0]:
            last = next((f for f in values if f.holder is line[-1] and f.key == fact.key), None)
            if last is not None:
                yield fact, last, True
    named = [f for f in returned.facts if f.role == "value" and not f.written]
    for kind in ("version", "feature", "model", "segment"):
        names = {name.name for name in sentence.of(kind)}
        if len(names) == 2:
            first, second = sorted(
                names, key=lambda n: min(x.start for x in sentence.names if x.name == n and x.kind == kind)
            )
            for a in (f for f in named if first in f.called(kind)):
                for b in (f for f in named if second in f.called(kind)):
                    if a.key == b.key and a.called("metric") == b.called("metric"):
                        yield a, b, False


def time_of(holder: Holder) -> datetime:
    """When a point of a series was; the end of time where nobody says."""
    return holder.time() or datetime.max.replace(tzinfo=UTC)


def wrong_multiples(sentence: Sentence, facts: list[tuple[Said, str, list[Fact]]], returned: Returned) -> list[str]:
    """`doubled`, `twice`, `halved`: where no two values stand so to each other."""
    problems = []
    for found in _MULTIPLE_WORD.finditer(sentence.masked):
        factor = _MULTIPLE[found[1].lower()]
        scope = scope_of(sentence, Said(found.start(), found.end(), factor, 0))
        more = re.search(r"(?i)more than\s*$|over\s*$", sentence.masked[: found.start()])
        less = re.search(r"(?i)(?:less than|nearly|almost|under)\s*$", sentence.masked[: found.start()])
        ratios = [
            (b.value / a.value, ordered)
            for a, b, ordered in _pairs(sentence, scope, facts, returned)
            if a.value and b.value
        ]
        both = [r for r, _ in ratios] + [
            1 / r for r, ordered in ratios if not ordered or found[1].lower() in ("half", "twice")
        ]
        near = (
            (0.94 * factor, 1.25 * factor)
            if more
            else (0.8 * factor, 1.06 * factor)
            if less
            else (0.9 * factor, 1.1 * factor)
        )
        if not any(near[0] <= abs(ratio) <= near[1] for ratio in both):
            problems.append(f"“{found[0]}”: no two values that were returned stand so to each other")
    return problems
