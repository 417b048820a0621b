"""The phrases that the classifier learns from: written as patterns, told out in full, always the same."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

FOLDER = Path(__file__).parent / "phrases"
CONCEPTS = "concepts.yaml"
MOST = 14
"""How many ways to say one pattern are learned at most."""
_INNERMOST = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")


@cache
def patterns() -> Mapping[str, tuple[str, ...]]:
    """Each intent with its patterns, from every file of the folder."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != CONCEPTS:
            found |= {intent: tuple(said) for intent, said in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
    return MappingProxyType(found)


@cache
def concepts() -> Mapping[str, tuple[str, ...]]:
    """Each word with the concepts that it belongs to."""
    told = yaml.safe_load((FOLDER / CONCEPTS).read_text(encoding="utf-8"))
    found: dict[str, tuple[str, ...]] = {}
    for concept, members in told.items():
        for word in members:
            found[str(word)] = (*found.get(str(word), ()), str(concept))
    return MappingProxyType(found)


def told_out(pattern: str, most: int = MOST, seed: int = 0) -> list[str]:
    """Ways to say a pattern: `(a|b)` is one of them, `[a]` may be left out; at most so many, always the same.

    >>> sorted(told_out("(show|list) [all] models"))
    ['list all models', 'list models', 'show all models', 'show models']
    """
    draw = random.Random(f"{seed}:{pattern}")
    found: dict[str, None] = {}
    for _ in range(3 * most):
        found[_one_way(pattern, draw)] = None
        if len(found) == most:
            break
    return list(found)


def _one_way(pattern: str, draw: random.Random) -> str:
    while (match := _INNERMOST.search(pattern)) is not None:
        needed, optional = match[1], match[2]
        choices = (needed if needed is not None else optional).split("|")
        chosen = draw.choice(choices) if needed is not None or draw.random() < 0.5 else ""
        pattern = f"{pattern[: match.start()]}{chosen}{pattern[match.end() :]}"
    return " ".join(pattern.split())
