"""What a sentence says in words (rose, healthy, approved, significant, the strongest) against what was returned."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from agent.conversation.guard import changes
from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Fact, Holder, Returned
from agent.conversation.guard.scope import Scope, fits, scope_of

Facts = list[tuple[Said, str, list[Fact]]]
_NOT = re.compile(
    r"(?i)\b(?:not|no|never|nothing|none|without|neither|nor|cannot|can't|isn't|wasn't|aren't|hasn't|didn't|doesn't|rather than|instead of|"
    r"whether|if|unless|until|once|when|should|would|could|may|might|must|can|to be|be|ruled out|rules out|unlikely|little|before|after)\b[^,;.]{0,24}$"
)
_NEGATED = re.compile(r"(?i)\b(?:not|no|never|nothing|none|without|neither|nor|cannot|can't|isn't|wasn't|aren't|hasn't|didn't|doesn't|hardly|barely|far from)\b[^,;.]{0,30}$")  # fmt: skip


def check_words(sentence: Sentence, facts: Facts, returned: Returned) -> list[str]:
    """What a sentence says that the results contradict; one line each."""
    scope = scope_of(sentence, Said(len(sentence.text), len(sentence.text), 0.0, 0))
    problems = [
        *_directions(sentence, facts, scope, returned),
        *_significance(sentence, facts, scope, returned),
        *_thresholds(sentence, facts, scope, returned),
        *_order(sentence, returned),
    ]
    return list(dict.fromkeys(problems))


def _said(pattern: str, text: str, *, plain: bool = True) -> re.Match[str] | None:
    """The first place where a text asserts this: not denied, not wished for."""
    for found in re.finditer(rf"(?i)\b(?:{pattern})\b", text):
        if not (_NOT if plain else _NEGATED).search(text[: found.start()]):
            return found
    return None


def _clauses(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for found in re.finditer(r"[;,]\s+|\s(?:while|but|whereas|and)\s", text):
        yield at, text[at : found.start()]
        at = found.end()
    yield at, text[at:]


def _directions(sentence: Sentence, facts: Facts, scope: Scope, returned: Returned) -> Iterator[str]:
    """`rose from 58 to 14`; `improved` where it got worse; `fell` where the series rose."""
    text = sentence.masked
    pairs = [(one, two) for one, two in itertools.pairwise(facts) if one[1] == "before" and two[1] == "after"]
    for one, two in pairs:
        lead = text[: one[0].start]
        start = max(lead.rfind(";"), lead.rfind(", "), 0)
        end = min((i for i in (text.find(";", two[0].end), text.find(", ", two[0].end)) if i >= 0), default=len(text))
        clause = text[start:end]
        if _NEGATED.search(clause[: one[0].start - start]):
            continue
        a, b = one[2][0], two[2][0]
        sign, quality = changes.sign_of(clause), changes.quality_of(clause)
        actual = (b.value > a.value) - (b.value < a.value)
        if sign and actual and sign != actual:
            yield f"it went from {a.value:g} to {b.value:g}: that is no {'rise' if sign > 0 else 'fall'}"
        better = _better(a.holder, returned)
        if quality and actual and better and quality != actual * better:
            yield f"from {a.value:g} to {b.value:g} it got {'worse' if quality > 0 else 'better'} ({'higher' if better > 0 else 'lower'} is better)"
    if pairs:
        return
    for start, clause in _clauses(text):
        sign, quality = changes.sign_of(_asserted(clause)), changes.quality_of(_asserted(clause))
        if not (sign or quality) or re.search(
            r"(?i)\b(?:threshold|limit|than|is better|more (?:labels|rows|approval))\b", clause
        ):
            continue
        here = scope_of(sentence, Said(start + len(clause), start + len(clause), 0.0, 0))
        if not (
            here.get("metric")
            or here.get("feature")
            or sentence.of("model")
            or re.search(r"(?i)\b(?:error|loss|performance|score|quality|it)\b", clause)
        ):
            continue
        moves = list(_moves(here, sentence, returned, facts))
        if not moves:
            continue
        if sign and all(actual == -sign for actual, _ in moves):
            yield f"it {'fell' if sign > 0 else 'rose'}; the results do not say that it {'rose' if sign > 0 else 'fell'}"
        if quality and all(better and actual * better == -quality for actual, better in moves):
            yield f"it got {'worse' if quality > 0 else 'better'}; the results do not say that it got {'better' if quality > 0 else 'worse'}"


def _asserted(clause: str) -> str:
    """A clause without the words of direction that it denies or only wishes for."""
    words = rf"{changes.UP}|{changes.DOWN}|{changes.BETTER}|{changes.WORSE}"
    kept = clause
    for found in re.finditer(rf"(?i)\b(?:{words})\b", clause):
        if _NEGATED.search(clause[: found.start()]) or re.match(r"(?i)\s*is better", clause[found.end() :]):
            kept = kept.replace(found[0], " " * len(found[0]), 1)
    return kept


def _moves(scope: Scope, sentence: Sentence, returned: Returned, facts: Facts) -> Iterator[tuple[int, int]]:
    """How each thing that a clause may speak of has moved (1 up, -1 down), and which way is better for it."""
    speaks_of_trial = sentence.says("would|trial|retrain\\w*|roll\\w*|recalibrat\\w*|what.if")
    seen: set[int] = set()
    for fact in returned.facts:
        holder = fact.holder
        if fact.written or not fits(fact, scope, sentence, returned):
            continue
        if fact.role == "before" and (after := holder.number("after")) is not None and id(holder) not in seen:
            seen.add(id(holder))
            if holder.listed == "verification" and not sentence.says(
                "after|roll\\w*|retrain\\w*|helped|action|carried out|executed"
            ):
                continue
            trial = holder.listed not in ("change", "verification")
            if trial == speaks_of_trial or not any(
                f.role == "before" and f.holder is not holder for f in returned.facts
            ):
                yield (after > fact.value) - (after < fact.value), _better(holder, returned)
        elif (
            fact.role == "value"
            and holder.listed in ("points", "measurements", "history")
            and not sentence.says("would|trial")
        ):
            line = sorted(
                (h for h in holder.siblings if h.time() and h.number(fact.key) is not None), key=changes.time_of
            )
            if len(line) > 1 and holder is line[0]:
                first, last = line[0].number(fact.key) or 0.0, line[-1].number(fact.key) or 0.0
                yield (last > first) - (last < first), _better(holder, returned)


def _better(holder: Holder, returned: Returned) -> int:
    """1 where higher is better, -1 where lower is, 0 where nobody says."""
    better = holder.found("better")
    if better is None:
        better = next((h.fields["better"] for h in returned.holders if h.fields.get("better") in ("lower", "higher")
                       and h.called("metric") & holder.called("metric")), None)  # fmt: skip
    if better is None:
        names = {name.lower() for name in holder.called("metric")}
        if names & {"mae", "rmse", "mse", "log_loss", "brier", "logloss", "mape"}:
            return -1
        if names & {"accuracy", "auc", "roc_auc", "f1", "macro_f1", "precision", "recall", "r2"}:
            return 1
    return {"higher": 1, "lower": -1}.get(str(better), 0)


def _significance(sentence: Sentence, facts: Facts, scope: Scope, returned: Returned) -> Iterator[str]:
    """`significant` where the interval of the difference holds zero, and the other way round."""
    words = r"significant(?:ly)?|clear(?:ly)? (?:better|worse|gain|improvement)|statistically|beyond chance|more than chance|certain(?:ly)? (?:better|worse)|conclusive(?:ly)?"
    found = re.search(
        rf"(?i)\b(?:{words})\b|\bwithin (?:the )?(?:noise|chance)\b|\b(?:could|may) be (?:chance|noise)\b|\binconclusive\b",
        sentence.text,
    )
    if found is None:
        return
    denied = (
        _NEGATED.search(sentence.text[: found.start()]) is not None
        or re.match(r"(?i)within|could|may|inconclusive|insignificant", found[0]) is not None
    )
    intervals = []
    # The numbers of the sentence say which trial or change it speaks of.
    own = [
        {id(f.holder) for f in some} for _, role, some in facts if role in ("before", "after", "value", "difference")
    ]
    meant = set.intersection(*own) if own else set()
    for holder in returned.holders:
        if meant and id(holder) not in meant:
            continue
        low, high = holder.number("low"), holder.number("high")
        pair = holder.fields.get("interval")
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(p, (int, float)) for p in pair):
            low, high = float(pair[0]), float(pair[1])
        if low is None or high is None or holder.number("difference", "gain", "delta", "before") is None:
            continue
        fact = Fact(low, "low", "low", "", holder, holder.names)
        if fits(fact, scope, sentence, returned):
            intervals.append((low, high))
    if intervals and not denied and all(low <= 0 <= high for low, high in intervals):
        yield f"it is not significant: the interval {intervals[0][0]:g} to {intervals[0][1]:g} holds zero"
    if intervals and denied and all(not low <= 0 <= high for low, high in intervals):
        yield f"it is significant: the interval {intervals[0][0]:g} to {intervals[0][1]:g} leaves zero out"


def _thresholds(sentence: Sentence, facts: Facts, scope: Scope, returned: Returned) -> Iterator[str]:
    """`above its threshold` where the value is below it; `within` where it is a breach."""
    pattern = re.compile(r"(?i)\b(above|over|exceed(?:s|ed|ing)?|beyond|past|crossed|crosses|breach(?:es|ed|ing)?|below|under|within|inside|short of)\s+(?:\w+\s){0,3}?(?:threshold|limit|bound)s?\b")  # fmt: skip
    for found in pattern.finditer(sentence.masked):
        denied = _NEGATED.search(sentence.masked[: found.start()]) is not None
        word = found[1].lower()
        here = scope_of(sentence, Said(found.start(), found.start(), 0.0, 0))
        stated = [
            f for said, role, some in facts if role in ("value", "after") for f in some if said.end <= found.end() + 30
        ]
        kin = [f for f in stated if f.holder.number("threshold") is not None] or [
            f for f in returned.facts
            if f.role == "value" and f.holder.number("threshold") is not None and fits(f, here, sentence, returned)
            and (here.get("feature") or here.get("metric") or here.get("model")) and _is_last(f)
        ]  # fmt: skip
        if not kin:
            continue
        wrong = [f for f in kin if _is_so(word, f, returned) is denied]
        if len(wrong) == len(kin):
            value, limit = kin[0].value, kin[0].holder.number("threshold") or 0.0
            yield f"“{found[0]}” is wrong: the value is {value:g} and the threshold {limit:g}"


def _is_last(fact: Fact) -> bool:
    line = [h for h in fact.holder.siblings if h.time() is not None]
    if len(line) < 2 or fact.holder.listed not in ("points", "measurements", "history"):
        return True
    return fact.holder is max(line, key=changes.time_of)


def _is_so(word: str, fact: Fact, returned: Returned) -> bool:
    limit = fact.holder.number("threshold") or 0.0
    status = fact.holder.fields.get("status")
    if word in ("above", "over", "below", "under"):
        return fact.value > limit if word in ("above", "over") else fact.value < limit
    better = _better(fact.holder, returned)
    breach = (
        status == "breach" if status in ("ok", "breach") else fact.value < limit if better > 0 else fact.value > limit
    )
    return not breach if word in ("within", "inside", "short of") else breach


def _order(sentence: Sentence, returned: Returned) -> Iterator[str]:
    """`temp moved most`, `temp more than humidity`, `version 3 is better than version 2`."""
    for kind in ("feature", "model", "version", "segment", "cause"):
        yield from _superlative(sentence, kind, returned)
        named = sentence.of(kind)
        for one, two in itertools.pairwise(named):
            between = sentence.masked[one.end : two.start]
            found = re.search(
                r"(?i)\b(more|less|higher|lower|larger|smaller|stronger|weaker|better|worse|greater|bigger)\b.{0,30}\b(?:than|that of)\b",
                between,
            )
            if found is None or one.name == two.name:
                continue
            pairs = list(_values(kind, one.name, two.name, sentence, returned))
            if _NEGATED.search(between[: found.start()]) or not pairs:
                continue
            if not any(_compares(found[1].lower(), a, b, returned) for a, b in pairs):
                a, b = pairs[0]
                yield f"{one.name} ({a.value:g}) is not {found[1]} than {two.name} ({b.value:g})"


def _values(kind: str, one: str, two: str, sentence: Sentence, returned: Returned) -> Iterator[tuple[Fact, Fact]]:
    metrics = {n.name.lower() for n in sentence.of("metric")}
    role = "probability" if kind == "cause" else "value"
    kin = [f for f in returned.facts if f.role == role and not f.written and _is_last(f)]
    if metrics:
        kin = [f for f in kin if {m.lower() for m in f.called("metric")} & metrics] or kin
    for a in (f for f in kin if one in f.called(kind)):
        for b in (f for f in kin if two in f.called(kind)):
            if a.key == b.key and a.holder.listed == b.holder.listed:
                yield a, b


def _compares(word: str, a: Fact, b: Fact, returned: Returned) -> bool:
    if word in ("better", "worse"):
        better = _better(a.holder, returned)
        return not better or (a.value - b.value) * better * (1 if word == "better" else -1) > 0
    more = word in ("more", "higher", "larger", "stronger", "greater", "bigger")
    return a.value > b.value if more else a.value < b.value


_MOST = r"(?:the )?(?:strongest|largest|biggest|highest|greatest|furthest|farthest|most|top|leading|main)"
_LEAST = r"(?:the )?(?:weakest|smallest|lowest|least)"


def _superlative(sentence: Sentence, kind: str, returned: Returned) -> Iterator[str]:
    """`the strongest drift is in temp`, `temp moved the most`."""
    named = sentence.of(kind)
    if not named:
        return
    for pattern, most in ((_MOST, True), (_LEAST, False)):
        for found in re.finditer(rf"(?i)\b{pattern}\b(?! (?:recent|of|important|at)\b| likely)", sentence.masked):
            if (
                kind != "feature"
                and not (kind == "cause" and most)
                and not re.search(r"(?i)\b(?:value|accuracy|error|drift)\b", sentence.masked)
            ):
                continue
            after = [
                n
                for n in named
                if 0 <= n.start - found.end() <= 40 and not re.search(r"[,;.]", sentence.masked[found.end() : n.start])
            ]
            before = [
                n
                for n in named
                if 0 <= found.start() - n.end <= 30 and not re.search(r"[;.]", sentence.masked[n.end : found.start()])
            ]
            chosen = after[:1] or before[-1:]
            if not chosen or _NEGATED.search(sentence.masked[: found.start()]):
                continue
            one = chosen[0]
            role = "probability" if kind == "cause" else "value"
            kin = [
                f
                for f in returned.facts
                if f.role == role
                and f.called(kind)
                and not f.written
                and f.holder.listed in ("features", "causes", "slices", "models", "versions")
            ]
            own = [f for f in kin if one.name in f.called(kind)]
            rivals = [f for f in kin if own and f.key == own[0].key and f.called("model") == own[0].called("model")]
            if not own or not rivals:
                continue
            best = (max if most else min)(rivals, key=lambda f: f.value)
            ranked = all(f.holder.place == 0 for f in own) and most
            if best.value != own[0].value and not ranked:
                yield f"{one.name} ({own[0].value:g}) is not the {found[0].removeprefix('the ')}: {'/'.join(sorted(best.called(kind)))} is ({best.value:g})"
