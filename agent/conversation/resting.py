"""What an answer rests on: the ids it cites, the models it speaks of, what was not available, as it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.conversation.desk import Done
from agent.domain.wording import visible
from tools.catalogue import CATALOGUE
from tools.clean import clean_text
from tools.results import Status

_CITED = re.compile(r"\[([^\[\]\n]{2,300})\]")
_ID = re.compile(r"[a-z]-[0-9a-z]{4,16}(?:/E\d{1,4})?|E\d{1,4}")
LONGEST_TEXT = 4_000
MOST_MISSING = 4


def sources(text: str, done: Sequence[Done]) -> list[str]:
    """The ids that an answer cites and that a tool gave, in order; a fact of a diagnosis by its full id."""
    given = dict.fromkeys(one for made in done for one in made.result.evidence)
    found = []
    for group in _CITED.findall(text):
        for cited in _ID.findall(group):
            full = cited if cited in given else next((one for one in given if one.endswith(f"/{cited}")), "")
            if full:
                found.append(full)
    return list(dict.fromkeys(found))


def models_of(done: Sequence[Done]) -> list[str]:
    """The models under watch that an answer may speak of: those that its tool calls were about."""
    found = [str(made.arguments["model"]) for made in done if isinstance(made.arguments.get("model"), str)]
    for made in done:
        if made.result.status is Status.OK:
            found += list(_named(made.result.data))
    return sorted({clean_text(name)[:200] for name in found if name})


def spoken_of(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same, from tool calls as they are kept."""
    return sorted({name for one in calls for name in _named([one["arguments"], one["result"]])})


def not_available(text: str, done: Sequence[Done]) -> list[str]:
    """What the tools could not tell and the answer does not say itself; a line each."""
    lines = []
    for made in done:
        said = visible(made.result.message, 240).rstrip(".")
        told = made.result.status is Status.OK or not said or made.name not in CATALOGUE
        if not told and said[:50] not in text:
            lines.append(f"Not available ({made.name.replace('_', ' ')}): {said}.")
    return list(dict.fromkeys(lines))[:MOST_MISSING]


def kept(done: Sequence[Done]) -> list[dict[str, Any]]:
    """The tool calls with their results, as they are stored and shown by `/show`."""
    return [storable(made.document()) for made in done]


def storable(value: Any) -> Any:
    """Plain data without what no database takes, its texts bounded (a model may send a megabyte)."""
    if isinstance(value, str):
        return clean_text(value[:LONGEST_TEXT])
    if isinstance(value, Mapping):
        return {clean_text(str(key)[:200]): storable(item) for key, item in list(value.items())[:500]}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value[:2_000]]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "model" and isinstance(item, str):
                yield item
            elif key == "models" and isinstance(item, list):
                yield from (str(one["name"]) for one in item if isinstance(one, Mapping) and "name" in one)
            else:
                yield from _named(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named(item)
