"""The numbers of a sentence, each against what was returned of the thing that the sentence speaks of."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from agent.conversation.guard import changes, counts, quantities, spans
from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Fact, Holder, Returned
from agent.conversation.guard.scope import Scope, fits, scope_of

_CONSTANT = re.compile(r"(?i)^\W{0,2}(?:confidence\s)?(?:interval|ci\b|confidence (?:interval|level|band))")
_PAIR = re.compile(r"^\s*(?:to|–|—|-|and|\.\.\.?|…|,|/|→|->|⟶)\s*$")
_INTERVAL = re.compile(r"(?i)(?:[(\[]|between|interval|ranging|range|ci|anywhere)\s*(?:of|is|from|was)?\s*[(\[:,]?\s*$")
_FROM = re.compile(
    r"(?i)(?:\bfrom|\bwas|\bwere|\bbefore[:,]?|\bpreviously|\bearlier|\binstead of|\bhad been|\brather than)\s+(?:[a-z]+\s){0,2}?$"
)
_WAS = re.compile(r"(?i)\b(?:was|were|had been)\s+(?:[a-z]+\s){0,2}?$")
_FROM_AFTER = re.compile(r"(?i)^\s*(?:before|previously|until then|earlier|without it|→|->|⟶)")
_TO = re.compile(
    r"(?i)(?:\bto|\bafter[:,]?|\bnow(?: at| stands at| is)?|\bwould be|\bwould (?:have been|give|reach)|\breach(?:es|ed)?)\s+(?:[a-z]+\s){0,1}?$"
)
_TO_AFTER = re.compile(r"(?i)^\s*(?:after|afterwards|now)\b")
_OVERALL = re.compile(r"(?i)^\s*(?:overall|for all|over all|in all rows|across all)")
_LATEST = re.compile(r"(?i)\b(?:latest|current|currently|now|last look|most recent|today|stands at|at present)\b")
_FIRST = re.compile(r"(?i)\b(?:first|initial|initially|originally|at the start|in the beginning)\b")
_EXTREME = re.compile(
    r"(?i)\b(?:peak|peaked|worst|highest|maximum|max|minimum|min|lowest|best|at most|as high as|as low as)\b"
)
_PAST = re.compile(r"(?i)\b(?:was|were|had|has been|have been|before|earlier|until|from|went|rose|fell|dropped|climbed|increased|decreased|gone|came|ranged?|between|moved|used to|by look|over time|points?|series|values?)\b")  # fmt: skip


@dataclass
class Checked:
    """What came of the numbers of one sentence: what is wrong, and the facts that bear the rest."""

    problems: list[str] = field(default_factory=list)
    facts: list[tuple[Said, str, list[Fact]]] = field(default_factory=list)


def check_numbers(sentence: Sentence, returned: Returned, now: datetime | None) -> Checked:
    """Hold every number of a sentence against what was returned."""
    checked = Checked()
    done: set[int] = set()
    for parts, _ in spans.lengths(sentence):
        scope = scope_of(sentence, parts[0])
        plain = len(parts) == 1 and any(
            quantities.matches(parts[0], f.value, f.unit)
            for f in returned.facts
            if f.unit and fits(f, scope, sentence, returned)
        )
        done.update(part.start for part in parts)
        if not plain and not spans.is_length(parts, sentence, returned, now):
            words = sentence.text[parts[0].start : parts[-1].end].strip()
            checked.problems.append(f"no length of time of {words} was returned, nor lies between two times that were")
    numbers = [said for said in sentence.numbers if said.start not in done]
    for place, said in enumerate(numbers):
        if said.unit == "%" and said.value in (90, 95, 99) and _CONSTANT.search(sentence.text[said.end :]):
            continue
        after = numbers[place + 1] if place + 1 < len(numbers) else None
        before = numbers[place - 1] if place else None
        _check_one(sentence, said, before, after, returned, checked)
    _together(sentence, checked)
    checked.problems += changes.wrong_multiples(sentence, checked.facts, returned)
    return checked


def _check_one(
    sentence: Sentence, said: Said, before: Said | None, after: Said | None, returned: Returned, checked: Checked
) -> None:
    words = sentence.text[said.start : said.end].strip()
    scope = scope_of(sentence, said)
    change = changes.change_of(sentence, said)
    role = _role(sentence, said, before, after)
    told = _with_unit(said, after, sentence)
    moved = (
        re.search(r"(?i)\b(?:moved|drifted|shifted|moves|drifts)(?: on)?,? by\b", sentence.text[: said.end]) is not None
    )
    if change is not None and not change.ratio and not change.sign and moved:
        change = None  # what a measure of drift says: how far it moved
    if change is not None and role not in ("n", "threshold", "probability"):
        if not changes.is_change(sentence, told, change, scope, checked.facts, returned):
            checked.problems.append(f"{words} is no difference or ratio of what was returned")
        return
    if role is None and (noun := counts.counted(sentence, said)) is not None:
        possible = counts.candidates(said, *noun, sentence, scope, returned)
        if possible and any(quantities.near(said, number) for number in possible):
            return
        written = [
            f
            for f in returned.facts
            if f.written and quantities.near(said, f.value) and fits(f, scope, sentence, returned)
        ]
        if written and not possible:
            return
        there = f"; there are {', '.join(f'{number:g}' for number in sorted(possible))}" if possible else ""
        checked.problems.append(f"{words} {noun[0]}s: no result says so{there}")
        return
    kin = [f for f in returned.facts if _may_be(role, f, said, sentence) and fits(f, scope, sentence, returned)]
    right = [
        f
        for f in kin
        for one in {told, said}
        if quantities.matches(one, f.value, f.unit, share=f.role in ("probability", "similarity"))
    ]
    right = _at_its_time(sentence, said, role, right, len(checked.facts))
    if right:
        checked.facts.append((said, role or "value", right))
        return
    if _is_share(told, sentence, scope, returned):
        return
    checked.problems.append(_why_not(words, told, role, scope, sentence, returned))


def _with_unit(said: Said, after: Said | None, sentence: Sentence) -> Said:
    """`from 81 to 87 %`: the unit of the second is that of the first."""
    if said.unit or after is None or after.unit not in ("%", "point", "c", "f", "k", "ms", "s"):
        return said
    if not _PAIR.match(sentence.masked[said.end : after.start]):
        return said
    return Said(
        said.start, said.end, said.value, said.digits, said.scale, after.unit, said.hedge, said.word, said.signed
    )


def _role(sentence: Sentence, said: Said, before: Said | None, after: Said | None) -> str | None:
    """What the number says of its thing; None where the words leave it open."""
    text = sentence.masked
    if (explicit := quantities.role_in_text(text, said)) is not None:
        return explicit
    lead, rest = text[: said.start], text[said.end :]
    first = after is not None and _PAIR.match(text[said.end : after.start]) is not None
    second = before is not None and _PAIR.match(text[before.end : said.start]) is not None
    if first and _INTERVAL.search(lead):
        return "low"
    if second and before is not None and _INTERVAL.search(text[: before.start]):
        return "high"
    if _OVERALL.match(rest):
        return "overall"
    arrow = first and after is not None and re.search(r"→|->|⟶", text[said.end : after.start])
    if (_FROM.search(lead) and (after is not None or not _WAS.search(lead))) or _FROM_AFTER.match(rest) or arrow:
        return "before"
    if _TO.search(lead) or _TO_AFTER.match(rest) or (second and re.search(r"→|->|⟶", lead[-6:])):
        return "after"
    if said.digits == 0 and said.scale == 1 and not said.unit and counts.counted(sentence, said) is not None:
        return None
    return "value"


_MAY_BE: dict[str, frozenset[str]] = {
    "value": frozenset(("value", "before", "after", "overall", "difference", "probability")),
    "before": frozenset(("before", "value", "overall")),
    "after": frozenset(("after", "value")),
    "overall": frozenset(("overall", "value")),
    "low": frozenset(("low", "before", "value")),
    "high": frozenset(("high", "after", "value")),
    "n": frozenset(("n",)),
    "threshold": frozenset(("threshold",)),
    "tolerance": frozenset(("tolerance",)),
    "probability": frozenset(("probability",)),
    "similarity": frozenset(("similarity",)),
}


def _may_be(role: str | None, fact: Fact, said: Said, sentence: Sentence) -> bool:
    if fact.written:
        return fact.role == "written" or role is None or fact.role in _MAY_BE.get(role, frozenset((role,)))
    if fact.role in ("before", "after") and not _speaks_of(fact.holder, sentence):
        return False
    if fact.role.startswith("count "):
        key = fact.role.removeprefix("count ")
        return role in (None, "value", "n") and said.digits == 0 and counts.about(key, sentence)
    if role is None:
        return fact.role not in ("low", "high", "threshold")
    if role == "value" and fact.role == "before":
        return _PAST.search(sentence.text) is not None and _LATEST.search(sentence.text) is None
    if role == "value" and fact.role == "probability":
        return said.unit == "%" or bool(sentence.of("cause")) or sentence.says("sure|probab\\w+|confiden\\w+|likely")
    if role == "value" and fact.role == "difference":
        return sentence.says("gain|difference|change|better|worse|improve\\w*|lower\\w*|rais\\w*|reduc\\w*|effect")
    if role == "value" and fact.role == "overall":
        return sentence.says("overall|whole|all rows")
    return fact.role in _MAY_BE.get(role, frozenset((role,)))


_OF_TRIALS = (
    "would|trial|tri(?:ed|es)|retrain\\w*|roll\\w*|recalibrat\\w*|promot\\w*|replay\\w*|candidate|propos\\w*|what.if"
)
_OF_EFFECTS = f"{_OF_TRIALS}|after|since|help\\w*|action|carried out|execut\\w*|verif\\w*|approved|later"


def _speaks_of(holder: Holder, sentence: Sentence) -> bool:
    """What a trial promises and what an action did are said of trials and actions alone."""
    if holder.listed == "change":
        return True
    if holder.listed == "verification":
        return sentence.says(_OF_EFFECTS) or any(one.startswith(("x-", "p-")) for one in sentence.cites)
    return sentence.says(_OF_TRIALS) or any(one.startswith("p-") for one in sentence.cites)


def _at_its_time(sentence: Sentence, said: Said, role: str | None, facts: list[Fact], earlier: int) -> list[Fact]:
    """Of a series, only the points that the sentence speaks of: those of its dates, the latest, the first, the worst."""
    kept = []
    dates = [told for told in sentence.times if not told.clock_only]
    for fact in facts:
        line = [h for h in fact.holder.siblings if h.time() is not None and h.number(fact.key) is not None]
        if fact.written or len(line) < 2 or fact.holder.listed not in ("points", "measurements", "history", "looks"):
            kept.append(fact)
            continue
        line.sort(key=changes.time_of)
        values = [h.number(fact.key) for h in line]
        own = [t for t in (fact.holder.fields.get(k) for k in ("window_start", "window_end", "at")) if t]
        times = [m for m in (spans.as_time(t) for t in own) if m is not None]
        where = sentence.text[max(0, said.start - 60) : said.end + 60]
        own_date = any(0 <= t.start - said.end <= 8 for t in dates)
        if dates and (own_date or role not in ("before", "after")):
            nearest = min(dates, key=lambda t: min(abs(t.start - said.end), abs(said.start - t.end)))
            if any(nearest.is_time(at) for at in times) or _other_date(sentence, nearest):
                kept.append(fact)
        elif _EXTREME.search(where):
            if fact.value in (max(v for v in values if v is not None), min(v for v in values if v is not None)):
                kept.append(fact)
        elif _FIRST.search(where):
            if fact.holder is line[0]:
                kept.append(fact)
        elif role == "before":
            if fact.holder is not line[-1] or fact.value == values[0]:
                kept.append(fact)
        elif _LATEST.search(where) or role == "after" or not _PAST.search(sentence.text):
            if fact.holder is line[-1]:
                kept.append(fact)
        else:
            kept.append(fact)
    return kept


def _other_date(sentence: Sentence, told: object) -> bool:
    """A date that says since when, or when something else was: it does not date the number."""
    start = getattr(told, "start", 0)
    return re.search(r"(?i)\b(?:since|opened|closed|resolved|until|by|from|before|after|deployed|began|started|last look)\s+(?:on\s+)?$", sentence.text[:start]) is not None  # fmt: skip


def _together(sentence: Sentence, checked: Checked) -> None:
    """An interval, a threshold and a count of rows belong to the value that they stand beside."""
    values = [one for one in checked.facts if one[1] in ("value", "before", "after", "overall")]
    for one, two in zip(checked.facts, checked.facts[1:], strict=False):
        if one[1] == "before" and two[1] == "after" and not any(_one_change(a, b) for a in one[2] for b in two[2]):
            words = f"{sentence.text[one[0].start : one[0].end].strip()} and {sentence.text[two[0].start : two[0].end].strip()}"
            checked.problems.append(f"{words} are not before and after of one thing")
    for said, role, facts in checked.facts:
        if role not in ("low", "high", "threshold", "n") or not values:
            continue
        scope = scope_of(sentence, said)
        kin = [
            one for one in values
            if one[0] is not said and all(
                not scope.get(k) or not scope_of(sentence, one[0]).get(k) or scope.get(k) == scope_of(sentence, one[0]).get(k)
                for k in ("feature", "version", "segment", "model")
            )
        ]  # fmt: skip
        before = [one for one in kin if one[0].end <= said.start]
        nearest = before[-1] if before else kin[0] if kin else None
        if nearest is None or any(f.written for f in facts) or any(f.written for f in nearest[2]):
            continue
        having = [f for f in nearest[2] if any(h.number(*_KEYS[role]) is not None for h in _near(f.holder))]
        if having and not any(_family(f.holder, v.holder) for f in facts for v in having):
            words = sentence.text[said.start : said.end].strip()
            checked.problems.append(
                f"{words} does not belong to {sentence.text[nearest[0].start : nearest[0].end].strip()}"
            )


def _one_change(a: Fact, b: Fact) -> bool:
    """Whether two facts may be the two ends of one change."""
    if a.holder is b.holder or b.holder in a.holder.siblings:
        return True
    apart = abs(a.value - b.value) > 0.005 * abs(a.value)
    return apart and (a.written or b.written or not (a.role == "before" and b.role == "after"))


_KEYS = {"low": ("low",), "high": ("high",), "threshold": ("threshold",), "n": ("n", "rows", "labels", "labelled_rows")}


def _near(holder: Holder) -> list[Holder]:
    return [holder] if holder.above is None else [holder, holder.above]


def _family(one: Holder, other: Holder) -> bool:
    return one is other or one.above is other or other.above is one


def _is_share(said: Said, sentence: Sentence, scope: Scope, returned: Returned) -> bool:
    """`75 % of the features drifted`: one count of another in the same result."""
    if said.unit != "%" or not re.match(r"(?i)\s*of\b", sentence.text[said.end :]):
        return False
    kin = [f for f in returned.facts if f.role.startswith("count ") and counts.about(f.key, sentence)]
    return any(
        a.holder is b.holder and 0 <= a.value <= b.value and b.value and quantities.near(said, 100 * a.value / b.value)
        for a in kin
        for b in kin
    )


def _why_not(words: str, said: Said, role: str | None, scope: Scope, sentence: Sentence, returned: Returned) -> str:
    """What is wrong with a number, so that a model can put it right."""
    about = ", ".join(f"{kind} {'/'.join(sorted(names))}" for kind, names in scope.names.items() if " " not in kind)
    thing = f" of {about}" if about else ""
    is_one: Callable[[Fact], bool] = lambda f: quantities.matches(said, f.value, f.unit)  # noqa: E731
    elsewhere = next((f for f in returned.facts if is_one(f)), None)
    what = "value" if role is None else role
    if elsewhere is not None:
        names = ", ".join(f"{k} {'/'.join(sorted(v))}" for k, v in elsewhere.names.items() if " " not in k)
        return f"{words} is not the {what}{thing}: it is the {elsewhere.key.replace('_', ' ')} of {names or 'something else'}"
    return f"{words} stands in no result as the {what}{thing}"
