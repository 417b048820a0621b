"""Whether an answer says only what the tools returned. What does not check is repaired once, then removed or marked."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

from agent.conversation.guard import claims
from agent.conversation.guard.assertions import check_words
from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.figures import check_numbers
from agent.conversation.guard.returned import ID, Fact, Returned, gather
from agent.conversation.guard.spans import check_times
from agent.conversation.guard.standings import check_standing, check_support
from tools.results import ToolResult

NOT_CONFIRMED = "(not confirmed)"
NOTHING_LEFT = "What was written could not be confirmed from the records, so it is not shown."
LONGEST = 20_000
MOST_SENTENCES = 400


@dataclass(frozen=True)
class Claim:
    """One sentence that states something that can be checked: what bears it out, or what is wrong with it.

    `grave`: it contradicts or invents a fact and is removed; else it is marked.
    """

    text: str
    start: int
    end: int
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    grave: bool = False

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Checked:
    """What came of checking an answer. `text` is what may be shown; `complaint` is for the model's one repair."""

    text: str
    claims: list[Claim] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    complaint: str = ""

    @property
    def ok(self) -> bool:
        return not self.removed and not self.marked

    @property
    def sources(self) -> list[str]:
        """The ids that bear the answer out, in order."""
        return list(dict.fromkeys(source for claim in self.claims if claim.ok for source in claim.sources))


def check(text: str, results: Sequence[ToolResult], *, question: str = "", now: datetime | None = None) -> Checked:
    """Check an answer against what the tools returned for it.

    `question`: what the person asked; names in it may be repeated. `now`: for `3 days ago`.
    """
    text = text[:LONGEST]
    returned = gather(results)
    found: list[Claim] = []
    for sentence in claims.sentences(text, returned)[:MOST_SENTENCES]:
        claim = _claim(sentence, returned, question, now)
        if claim is not None:
            found.append(claim)
    bad = [claim for claim in found if not claim.ok]
    return Checked(
        _repaired(text, bad),
        found,
        [claim.text.strip() for claim in bad if claim.grave],
        [claim.text.strip() for claim in bad if not claim.grave],
        _complaint(bad),
    )


def _claim(sentence: Sentence, returned: Returned, question: str, now: datetime | None) -> Claim | None:
    numbers = check_numbers(sentence, returned, now)
    problems = [*numbers.problems, *check_times(sentence, returned, now), *check_standing(sentence, returned)]
    problems += check_words(sentence, numbers.facts, returned)
    problems += _quotes(sentence, returned, question)
    doubts = [
        *check_support(sentence, returned),
        *_citations(sentence, returned, question),
        *_names(sentence, returned, question),
    ]
    if _is_denial(sentence, question):
        # `I know no version 99`: what the person asked for may be named to say that it is not there.
        problems = [one for one in problems if not _only_asked(one, question)]
    sources = list(sentence.cites)
    for _, _, facts in numbers.facts:
        sources += _record(facts[0])
    stated = sentence.numbers or sentence.times or sentence.names or sentence.cites or sentence.quotes
    if not (stated or problems or doubts):
        return None
    return Claim(
        sentence.text,
        sentence.start,
        sentence.end,
        tuple(dict.fromkeys(sources)),
        tuple(dict.fromkeys([*problems, *doubts])),
        bool(problems),
    )


def _record(fact: Fact) -> list[str]:
    """The record that a fact stands in."""
    found = fact.holder.found("id")
    return [found] if isinstance(found, str) and ID.fullmatch(found) else []


def _is_denial(sentence: Sentence, question: str) -> bool:
    return bool(question) and sentence.says("no|not|nothing|unknown|cannot|can't|don't|none|never|which one")


def _only_asked(problem: str, question: str) -> bool:
    numbers = re.findall(r"\d[\d.,:-]*", problem.split(" stands in")[0].split(" is not")[0])
    return bool(numbers) and all(number in question for number in numbers)


def _citations(sentence: Sentence, returned: Returned, question: str) -> list[str]:
    """Ids that no result returned."""
    problems = []
    for cited in sentence.cites:
        record, _, fact = cited.partition("/")
        if cited in returned.ids or (not fact and record in returned.ids) or cited in question:
            continue
        if any(known.startswith(record) for known in returned.ids) and not fact and len(record) >= 6:
            continue  # the beginning of an id names it, as on the command line
        problems.append(f"{cited} was returned by no tool")
    return problems


_NAME_PLACE = re.compile(
    r"(?i)\b(?:models?|features?|columns?|inputs?|segments?|slices?|runbooks?|monitors?)\s+(?:called\s+|named\s+)?[`“\"]?([A-Za-z_][\w.-]{1,60})"
    r"|(?:drift|shift|change|fault|missing values?|nulls?)\s+(?:in|of|on)\s+[`“\"]?([a-z_][\w.-]{1,60})"
    r"|^\W{0,4}([a-z][\w]*(?:[-_][\w]+)+)(?=\s*(?::|is\b|has\b|was\b|looks\b|drifted\b|moved\b))"
    r"|\b(?:for|on|of|in|with)\s+([a-z]\w*(?:[-_]\w+)+)(?=[\s,.;:)]|$)"
    r"|(?<![\w])([a-z_]\w*)\s+(?:drifted|shifted|moved by|has drifted)\b"
)
_GENERIC = frozenset(
    """the a an its their this that these those it all any each every both several some no two three and or are is was were has have
    had in on for with of to from by at as which who what whose under watch drift drifted moved more most less than not only also
    inputs input features feature model models data distribution distributions relation values value quality performance scores
    labels rows predictions prediction time season level accuracy error called named answering can will would may might must should do
    does did cannot itself themselves there here again still never now then one first last next other others another
    look looks checked watched seen known open waiting pending healthy that's it's production service""".split()  # noqa: SIM905
)
_COMPOUND = re.compile(
    r"(?i)(?:re|long|short|non|pre|post|up|down|in|out|over|under|well|day|week|month|year|time|real|one|two|three|first|second|last|high|low|"
    r"medium|self|cross|day-to|so|as|data|model|machine|label|feature|drift|point|root|off|on|follow|roll|back|end|full|half|multi|semi|"
    r"per|week|next|best|worst|large|small|old|new|early|late|step|side|state|run|read|write|a|b|e|hand|rule|week)(?:-[a-z]+)+"
)


def _names(sentence: Sentence, returned: Returned, question: str) -> list[str]:
    """Names in the place of a model's, a feature's or a version's that nothing returned."""
    problems = []
    everything = {name.lower() for names in returned.names.values() for name in names}
    known = returned.names.get("version", set())
    for named in sentence.of("version"):
        if known and named.name not in known and not re.search(rf"(?<!\d){re.escape(named.name)}(?!\d)", question):
            problems.append(f"there is no version {named.name} in the results")
        elif not known and not any(re.search(rf"version {re.escape(named.name)}\b", text) for text in returned.texts):
            if named.name not in question:
                problems.append(f"no result names version {named.name}")
    shape = _NAME_PLACE.finditer(sentence.masked)
    for found in shape:
        name = next(part for part in found.groups() if part).rstrip(".-_:")
        low = name.lower()
        if (
            low in _GENERIC
            or low in everything
            or len(low) < 2
            or (low.endswith(("ed", "ing", "ly")) and "_" not in low)
        ):
            continue
        if low in question.lower() or _COMPOUND.fullmatch(name) or any(low in text.lower() for text in returned.texts):
            continue
        if low.endswith("s") and low[:-1] in _GENERIC:
            continue
        near = get_close_matches(name, sorted(everything), 1, 0.75)
        problems.append(f"nothing that was returned is called “{name}”" + (f"; do you mean {near[0]}?" if near else ""))
    return problems


def _quotes(sentence: Sentence, returned: Returned, question: str) -> list[str]:
    """Quotations that stand in no result."""
    problems = []
    for quote in sentence.quotes:
        wanted = _plain(re.sub(r"(?:…|\.\.\.)$", "", quote).strip(" .,;:"))
        if wanted and not any(wanted in _plain(text) for text in (*returned.texts, question)):
            problems.append(f"the quotation “{quote[:80]}” stands in no result")
    return problems


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def _repaired(text: str, bad: Sequence[Claim]) -> str:
    """The text without what is wrong in it, and with a mark on what is not confirmed."""
    if not bad:
        return text
    for claim in sorted(bad, key=lambda one: -one.start):
        said = text[claim.start : claim.end]
        if claim.grave:
            text = text[: claim.start] + text[claim.end :]
        else:
            body = said.rstrip()
            stop = re.search(r"[.!?:]?$", body)
            cut = stop.start() if stop else len(body)
            marked = f"{body[:cut]} {NOT_CONFIRMED}{body[cut:]}{said[len(body) :]}"
            text = text[: claim.start] + marked + text[claim.end :]
    lines = [
        line for line in text.split("\n") if not re.fullmatch(r"\s*(?:[-*•–>#]+|\d{1,2}[.)])?\s*", line) or line == ""
    ]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()
    return text or NOTHING_LEFT


def _complaint(bad: Sequence[Claim]) -> str:
    """What to tell the model, so that it can put its answer right, once."""
    if not bad:
        return ""
    lines = [f"- “{claim.text.strip()[:200]}”: {'; '.join(claim.problems)}." for claim in bad[:20]]
    return (
        "These sentences of your answer do not agree with what the tools returned. Write the whole answer again with them "
        "corrected from the results, or left out; add nothing that stands in no result.\n" + "\n".join(lines)
    )
