"""What a request wants: a small classifier, fitted to the phrases at first use, that says when it does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agent.conversation.offline.names import WORD, corrected
from agent.conversation.offline.phrases import concepts, patterns, told_out

MASKS = ("MODEL", "FEATURE", "VERSION", "TIME", "SEGMENT", "PROPOSAL", "INCIDENT", "DIAGNOSIS", "EXECUTION")
UNKNOWN = "unknown"
SURE, HIGH = 0.16, -0.6
"""The lead over the second intent, and the height of the first: below both, a request is not understood."""
CLEAR = 0.4
"""The lead that is asked for where words are said that have nothing to do with models."""
ORDERED, ORDERED_HEIGHT = 0.2, -0.35
"""Lead and height that a request to propose something must have."""
FAMILIAR = 0.34
"""The share of a request's words that must have to do with models, or be ordinary."""
_TOKEN = re.compile(r"[A-Za-z_']+|\d+")


@dataclass(frozen=True, slots=True)
class Guess:
    """The intent, how far it stands above the next one, how far from the border of its class (above 0: inside), and the
    next one."""

    intent: str
    margin: float
    height: float = -1.0
    second: str = UNKNOWN

    @property
    def sure(self) -> bool:
        return self.height >= HIGH or self.margin >= SURE


@cache
def vocabulary() -> frozenset[str]:
    """Every ordinary word of the phrases and concepts: what is in it is no typing error, and no name."""
    said = {w.lower() for ways in ways_to_say().values() for way in ways for w in _TOKEN.findall(way) if w not in MASKS}
    return frozenset(said | set(concepts()) | _ORDINARY)


_ORDINARY = frozenset(
    re.findall(
        r"\S+",
        """
    able above across ought thus hence board plate desk hand after always anybody anyone anything anywhere
    appreciate around because become before below beside
    better between big brief bring call came case change clear condition country course dear deal each early easy either
    enough everybody everyone exactly expect fact fairly family few find fleet for former friend gladly good great half
    happen happens hear hello high hold hope idea inform instead interested keep kindly large left less line long look
    looking looks matter mean mention mind moment near nice nobody nothing number often old open order others
    overview particular perhaps person piece place plate point possible present pretty problem quick reach ready remain
    remains report right round run running shall shape shift short simply situation small sorry sort stand start state
    stay story sure system systems table talk telling thanks therefore today together tonight top trying turn understand
    usual view wait walk want watch well wish wonder word words work working world worth write written wrong young
    a about again all also am an and another any are as ask at be been being both but by came can come comes could
    did do does doing done each else even ever every far from further get gets getting give given go goes going got
    had has have having he her here him his how i in into is it its just kind know last later latest least less let
    lets like little lot made make makes many may maybe me might more most much must my need no none not now of off
    often on one only or other our out over own per please pls put quite rather really said same say see seen she
    should show since so some someone something soon still such take tell than thank that the their them then there
    these they thing think this those though through till time to too two under until up upon us use used very want
    was way we were what when where whether which while who whole whom whose why will with within without would yes
    yet you your i'd i'm it's that's what's who's where's isn't didn't doesn't don't haven't couldn't let's there's
    we've i've monday tuesday wednesday thursday friday saturday sunday morning evening tonight today yesterday
    tomorrow week day month year hour first second third next previous named called data model models""",
    )
)


_PROPOSALS = frozenset(
    (
        "proposal",
        "who_may",
        "risk",
        "undo",
        "trial",
        "expiry",
        "decisions",
        "approve",
        "reject",
        "verification",
        "executions",
    )
)
_INCIDENTS = frozenset(
    ("timeline", "why", "evidence", "ruled_out", "not_checked", "onset", "confidence", "recommend", "similar", "alerts")
)
_ONLY = {
    "PROPOSAL": _PROPOSALS | {"why"},
    "INCIDENT": _INCIDENTS,
    "EXECUTION": frozenset(("executions", "verification")),
}
"""What can be asked of a record that is named."""


def stop_words() -> frozenset[str]:
    """Words that say nothing of what a request is about."""
    return _ORDINARY


@cache
def ways_to_say() -> dict[str, list[str]]:
    """Each intent with the phrases that are learned."""
    return {intent: [way for p in said for way in told_out(p)] for intent, said in patterns().items()}


@dataclass(frozen=True, slots=True)
class Classifier:
    vectorizers: tuple[Any, ...]
    model: Any
    intents: tuple[str, ...]

    def guess(self, masked: str) -> Guess:
        """The intent of a request whose names are masked."""
        words = normal(masked)
        if not words:
            return Guess(UNKNOWN, 0.0)
        scores = self.model.decision_function(_features(self.vectorizers, [words]))[0]
        fitting = next((_ONLY[mask] for mask in _ONLY if mask in words.split()), None)
        order = [int(i) for i in scores.argsort()[::-1] if fitting is None or self.intents[int(i)] in fitting]
        first, second = order[:2]
        lead = float(scores[first] - scores[second])
        return Guess(self.intents[first], lead, float(scores[first]), self.intents[second])


@cache
def classifier() -> Classifier:
    """Fitted once in a process."""
    return fitted(ways_to_say())


def fitted(ways: Mapping[str, Sequence[str]]) -> Classifier:
    """A classifier that learned these ways to say each intent: some 6,000 take a few tenths of a second."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    said = [way for intent in ways for way in ways[intent]]
    wanted = [intent for intent in ways for _ in ways[intent]]
    vectorizers = (
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, tokenizer=str.split, token_pattern=None, lowercase=False
        ),
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, lowercase=False, min_df=2, max_features=12_000
        ),
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, tokenizer=str.split, token_pattern=None, lowercase=False
        ),
    )
    texts = [normal(way, correct=False) for way in said]
    for vectorizer, column in zip(vectorizers, _columns(texts), strict=True):
        vectorizer.fit(column)
    model = LinearSVC(C=0.5, random_state=0)
    model.fit(_features(vectorizers, texts), wanted)
    return Classifier(vectorizers, model, tuple(str(c) for c in model.classes_))


def normal(masked: str, *, correct: bool = True) -> str:
    """The words of a masked request, lower case but for the masks, typing errors put right."""
    out: list[str] = []
    for token in _TOKEN.findall(masked.replace("’", "'")):
        if token in MASKS:
            out.append(token)
            continue
        word = token.lower().removesuffix("'s") if token.lower() not in _ORDINARY else token.lower()
        if correct and word not in vocabulary():
            word = corrected(word, vocabulary()) or word
        out.append(word)
    return " ".join(out)


def foreign(masked: str) -> list[str]:
    """The words of a masked request that no request about models is made of."""
    words = [w.lower().removesuffix("'s") for w in WORD.findall(masked) if w not in MASKS and not w.isdigit()]
    return [w for w in words if w not in _domain() and corrected(w, _domain()) is None]


@cache
def _domain() -> frozenset[str]:
    ways = [way for intent, said in ways_to_say().items() if intent != "outside" for way in said]
    return frozenset({w.lower() for way in ways for w in _TOKEN.findall(way)} | set(concepts()) | _ORDINARY)


def strange(masked: str) -> list[str]:
    """The words of a masked request that are neither known nor nearly known: a name, maybe."""
    words = [w.lower() for w in WORD.findall(masked) if w not in MASKS and not w.isdigit()]
    return [w for w in words if w not in vocabulary() and corrected(w, vocabulary()) is None]


def _columns(texts: Sequence[str]) -> tuple[Sequence[str], ...]:
    known = concepts()
    meant = [
        " ".join(c for word in text.split() for c in known.get(word, (word,) if word in MASKS else ()))
        for text in texts
    ]
    return texts, texts, [text or "nothing" for text in meant]


def _features(vectorizers: Sequence[Any], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    parts = [v.transform(column) for v, column in zip(vectorizers, _columns(texts), strict=True)]
    return hstack(parts).tocsr()
