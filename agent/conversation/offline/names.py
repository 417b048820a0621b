"""Names in a text: in full, nearly (typing errors), or by one of their words; never one that the text does not mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

CLOSE = 0.78
WORD = re.compile(r"[^\W_][\w-]*")
_GAP = r"[-_\s]*"


@dataclass(frozen=True, slots=True)
class Found:
    """Names found in a text, the text with `mask` in their place, and whether it is unclear which one is meant."""

    names: tuple[str, ...]
    text: str
    ambiguous: bool = False


def spoken(name: str) -> str:
    """A name as it is said.

    >>> spoken("bike-demand")
    'bike demand'
    """
    return re.sub(r"[-_\s]+", " ", name.lower()).strip()


def find(text: str, names: Sequence[str], mask: str, words: Collection[str]) -> Found:
    """Names in a lowered text; `words` are ordinary words, which name nothing unless they are a name in full.

    >>> find("is hart disease well", ["heart-disease", "rainfall"], "MODEL", {"is", "well"})
    Found(names=('heart-disease',), text='is MODEL well', ambiguous=False)
    """
    exact = [name for name in names if _pattern(name).search(text)]
    exact = [n for n in exact if not any(n != other and spoken(n) in spoken(other) for other in exact)]
    if exact:
        exact.sort(key=lambda name: _where(name, text))
        for name in sorted(exact, key=len, reverse=True):
            text = _pattern(name).sub(mask, text)
        return Found(tuple(exact), text)
    return _nearly(text, names, mask, words) or _by_a_word(text, names, mask, words) or Found((), text)


def _nearly(text: str, names: Sequence[str], mask: str, words: Collection[str]) -> Found | None:
    """The one name that a few words of the text nearly say."""
    said = [match for match in WORD.finditer(text) if match[0] != mask]
    best: tuple[float, str, int, int] | None = None
    for name in names:
        for size in {1, len(spoken(name).split())}:
            for first in range(len(said) - size + 1):
                run = said[first : first + size]
                if all(match[0] in words for match in run):
                    continue
                gram = " ".join(spoken(match[0]) for match in run)
                close = _likeness(gram, spoken(name))
                if close >= CLOSE and (best is None or close > best[0]):
                    best = (close, name, run[0].start(), run[-1].end())
    if best is None:
        return None
    return Found((best[1],), f"{text[: best[2]]}{mask}{text[best[3] :]}")


def _likeness(a: str, b: str) -> float:
    """Two swapped letters count as one mistake, whatever the length."""
    if abs(len(a) - len(b)) > 3:
        return 0.0
    if len(a) == len(b) >= 3 and sorted(a) == sorted(b):
        differ = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        if len(differ) == 2 and differ[1] - differ[0] == 1:
            return 0.95
    return difflib.SequenceMatcher(None, a, b).ratio()


def _by_a_word(text: str, names: Sequence[str], mask: str, words: Collection[str]) -> Found | None:
    """Names by one of their words (`the demand model`); several of them are unclear."""
    for match in WORD.finditer(text):
        if len(match[0]) < 4 or match[0] in words:
            continue
        meant = tuple(name for name in names if match[0] in spoken(name).split())
        if meant:
            masked = f"{text[: match.start()]}{mask}{text[match.end() :]}"
            return Found(meant, masked, ambiguous=len(meant) > 1)
    return None


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    parts = _GAP.join(re.escape(part) for part in spoken(name).split())
    return re.compile(rf"(?<![\w-]){parts}(?:['’]s|['’])?(?![\w-])")


def _where(name: str, text: str) -> int:
    match = _pattern(name).search(text)
    return match.start() if match else len(text)


def corrected(word: str, vocabulary: Collection[str]) -> str | None:
    """The known word that a mistyped one stands for, or None.

    >>> corrected("drfit", ["drift", "draft", "what"])
    'drift'
    """
    return _corrected(word, tuple(sorted(vocabulary))) if len(word) >= 4 else None


@lru_cache(maxsize=4096)
def _corrected(word: str, vocabulary: tuple[str, ...]) -> str | None:
    most = 1 if len(word) < 8 else 2
    best: tuple[int, str] | None = None
    for known in vocabulary:
        if abs(len(known) - len(word)) > most or len(known) < 3 or (known[0] != word[0] and known[0] != word[1]):
            continue
        mistakes = _mistakes(word, known)
        if mistakes <= most and (best is None or mistakes < best[0]):
            best = (mistakes, known)
    return None if best is None else best[1]


def _mistakes(a: str, b: str) -> int:
    """Letters added, left out, taken for another, or swapped with their neighbour (optimal string alignment)."""
    before, row = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = previous
    return row[-1]
