"""An answer as claims: its sentences, with the names, numbers, times, citations and quotations in each."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.conversation.guard import moments, quantities
from agent.conversation.guard.moments import Told
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import ID, METRICS, Returned

_END = re.compile(r"(?<=[.!?])[\"”’)*_]{0,3}\s+(?!\[)")
_SHORTENED = re.compile(
    r"(?i)(?:\b(?:e\.g|i\.e|approx|vs|no|ca|etc|incl|resp|sept?|jan|feb|mar|apr|aug|oct|nov|dec)|\b[a-z])\.$"
)
_LEAD = re.compile(r"^\s*(?:#{1,6}\s+|[-*•–]\s+|>\s?|\d{1,2}[.)]\s+)*")
_CITED = re.compile(r"\[((?:\s*(?:[a-z]-[0-9a-z]{4,16}(?:/E\d+)?|E\d{1,4})\s*[,;]?)+)\](?:\([^)]*\))?")
_ONE_CITED = re.compile(r"[a-z]-[0-9a-z]{4,16}(?:/E\d+)?|E\d{1,4}")
_QUOTED = re.compile(r"“([^”\n]{2,600})”|\"([^\"\n]{2,600})\"|(?<!\w)‘([^’\n]{2,600})’(?!\w)")
_CODE = re.compile(r"`([^`\n]{1,300})`")
_VERSIONS = re.compile(
    r"(?i)\b(?:versions?|v\.?)\s?#?((?:\d+(?:\.\d+)*)(?:\s?(?:,|and|or|to|vs\.?|versus|→|->|/|&)\s?(?:version )?\d{1,4}(?![\d.,]*\d|\s?%| for))*)"
)
_ALIASES = {
    "mae": ("mean absolute error",), "rmse": ("root mean squared error",), "roc_auc": ("auc", "auroc"), "auc": ("roc auc",),
    "psi": ("population stability index",), "brier": ("brier score",), "f1": ("f1 score",), "log_loss": ("logloss",),
    "null_share": ("share of missing values", "missing share", "missing values"),
}  # fmt: skip
_COMMON = frozenset(
    [
        "day", "age", "hour", "month", "year", "week", "time", "date", "rate", "price", "value", "count", "name", "type",
        "class", "number", "level", "size", "plan", "state", "status", "label", "score", "error", "model", "change",
        "change", "rows", "season", "weather", "test", "rest", "one", "two", "work", "working", "on", "in", "is", "it",
    ]
)  # fmt: skip
_BOUND = re.compile(r"(?i)(?:\d|\b(?:a|an|the|per|each|every|one|this|that|last|next|first|same|some|any|no))\s?$")
_SPOKEN_OF = re.compile(r"(?i)\b(?:feature|column|input|variable)s?\s$|[`“\"]$")


@dataclass(frozen=True)
class Named:
    """A name in a sentence, and of what kind it is: model, feature, metric, version, segment, cause, person."""

    start: int
    end: int
    kind: str
    name: str


@dataclass
class Sentence:
    """One sentence of an answer. `text` is what is checked; `start` and `end` say where it stands in the answer."""

    text: str
    start: int
    end: int
    masked: str = ""
    names: list[Named] = field(default_factory=list)
    numbers: list[Said] = field(default_factory=list)
    times: list[Told] = field(default_factory=list)
    cites: list[str] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)
    carried: dict[str, frozenset[str]] = field(default_factory=dict)

    def of(self, kind: str) -> list[Named]:
        return [name for name in self.names if name.kind == kind]

    def says(self, pattern: str) -> bool:
        return re.search(rf"(?i)\b(?:{pattern})\b", self.text) is not None


def sentences(text: str, returned: Returned) -> list[Sentence]:
    """The sentences of an answer; a row of a table is one, with the column's head before each cell."""
    found: list[Sentence] = []
    patterns = _patterns(returned)
    carried: dict[str, frozenset[str]] = {}
    for start, end, said in _split(text):
        sentence = Sentence(said, start, end, carried=dict(carried))
        _read(sentence, patterns, returned)
        found.append(sentence)
        for kind in ("model", "feature", "version"):
            if named := sentence.of(kind):
                carried[kind] = frozenset(one.name for one in named)
                if kind == "model":
                    for other in ("feature", "version"):
                        if not sentence.of(other):
                            carried.pop(other, None)
    return found


def _split(text: str) -> Iterator[tuple[int, int, str]]:
    head: list[str] = []
    position = 0
    for line in text.splitlines(keepends=True):
        start, position = position, position + len(line)
        body = line.rstrip("\r\n")
        if body.lstrip().startswith("|"):
            cells = [cell.strip() for cell in body.strip().strip("|").split("|")]
            if all(re.fullmatch(r":?-{2,}:?", cell) for cell in cells):
                continue
            if not head:
                head = cells
            else:
                told = "; ".join(f"{name} {cell}" for name, cell in zip(head, cells, strict=False) if cell)
                yield start, start + len(body), told
            continue
        head = []
        lead = _LEAD.match(body)
        at = lead.end() if lead else 0
        while at < len(body):
            stop = at
            while True:
                end = _END.search(body, stop)
                stop = end.end() if end else len(body)
                if end is None or not _SHORTENED.search(body[at : end.start()]):
                    break
            said = body[at:stop]
            if said.strip(" *_"):
                yield start + at, start + stop, said
            at = stop


def _patterns(returned: Returned) -> list[tuple[str, str, re.Pattern[str]]]:
    """For each known name, how it may be written; the longest first."""
    found: list[tuple[str, str, str]] = []
    for kind in ("model", "feature", "segment", "person", "cause", "monitor", "other"):
        for name in returned.names.get(kind, ()):
            if 0 < len(name) <= 200:
                found.append((kind, name, _spelled(name)))
    for name in returned.names.get("cause", ()):
        if name.startswith("concept_drift_"):
            kind = name.removeprefix("concept_drift_")
            found.append(("cause", name, rf"{kind}(?:ly)?[- ](?:concept[- ])?drift"))
    for name in {*returned.names.get("metric", ()), *METRICS}:
        found.append(("metric", name, _spelled(name)))
        for alias in _ALIASES.get(name.lower(), ()):
            found.append(("metric", name, _spelled(alias)))
    found.sort(key=lambda one: (-len(one[2]), one[0] == "metric"))
    return [(k, n, re.compile(rf"(?<![\w@/-])(?<!\w\.){p}(?![\w/]|[-.]\w)", re.IGNORECASE)) for k, n, p in found]


def _spelled(name: str) -> str:
    return r"[-_\s.]".join(re.escape(part) for part in re.split(r"[-_\s.]+", name) if part) or re.escape(name)


def _read(sentence: Sentence, patterns: list[tuple[str, str, re.Pattern[str]]], returned: Returned) -> None:
    masked = list(sentence.text)

    def mask(start: int, end: int) -> None:
        masked[start:end] = " " * (end - start)

    def rest() -> str:
        return "".join(masked)

    for found in _CITED.finditer(sentence.text):
        sentence.cites += _ONE_CITED.findall(found[1])
        mask(*found.span())
    for found in _QUOTED.finditer(rest()):
        said = next(part for part in found.groups() if part is not None)
        if len(said.split()) >= 2 or re.search(r"\d", said):
            sentence.quotes.append(said)
            mask(*found.span())
    for found in ID.finditer(rest()):
        sentence.cites.append(found[0])
        mask(*found.span())
    known = returned.names.get("version", set())
    for found in _VERSIONS.finditer(rest()):
        for number in re.finditer(r"\d+(?:\.\d+)*", found[1]):
            at = found.start(1) + number.start()
            sentence.names.append(Named(at, at + len(number[0]), "version", number[0]))
        mask(*found.span())
    for name in known:
        if not re.fullmatch(r"\d+(?:\.\d+)*", name) and len(name) > 2:
            for found in re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", rest()):
                sentence.names.append(Named(*found.span(), "version", name))
                mask(*found.span())
    for kind, name, pattern in patterns:
        for found in pattern.finditer(rest()):
            if kind in ("feature", "segment", "other") and _is_only_a_word(sentence.text, found, name):
                continue
            sentence.names.append(Named(*found.span(), kind, name))
            mask(*found.span())
    sentence.names.sort(key=lambda one: one.start)
    for time in moments.find(rest()):
        sentence.times.append(time)
        mask(time.start, time.end)
    sentence.numbers = [*quantities.find(rest()), *_in_words(rest())]
    sentence.numbers.sort(key=lambda one: one.start)
    sentence.masked = rest()


def _is_only_a_word(text: str, found: re.Match[str], name: str) -> bool:
    """`day` in `on the day` is no feature, though one may be called so."""
    if name.lower() not in _COMMON and len(name) > 2:
        return False
    before = text[: found.start()]
    if _SPOKEN_OF.search(before) or re.search(r"\d[ %]{0,2}(?:in|for|of|on)\s$", before):
        return False
    return _BOUND.search(before) is not None or found[0] != name


def _in_words(text: str) -> Iterator[Said]:
    """`two`, `no` … where something is counted."""
    for found in re.finditer(r"(?i)\b(zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", text):
        after = text[found.end() : found.end() + 40]
        if found[1].lower() == "one" and not re.match(
            r"(?i)\s+(?:\w+[ -])?(?:\w+[ -])?(?:incident|proposal|model|alert|day|hour|week)\b", after
        ):
            continue
        unit = re.match(r"(?i)[\s-](days?|hours?|weeks?|minutes?|seconds?|percent)\b", after)
        said = next(quantities.find(f"0 {unit[1]}"), None) if unit else None
        end = found.end() + (unit.end() if unit else 0)
        yield Said(
            found.start(), end, float(quantities.WORDS[found[1].lower()]), 0, 1.0, said.unit if said else "", word=True
        )
