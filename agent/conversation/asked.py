"""What a question asks: its topic, and the model or record that it names. Pure; forgives typing errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    WRONG = "what is wrong"
    WHY = "why"
    WAITING = "what is waiting"
    STATUS = "status"
    HAPPENED = "what happened"
    DONE = "what was done"
    HELP = "help"
    UNKNOWN = "not understood"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was understood. `record` is the id of an incident or a proposal (or the start of one)."""

    topic: Topic
    models: tuple[str, ...] = ()
    record: str | None = None
    ambiguous: bool = False
    unknown_model: str | None = None


_KEYWORDS: tuple[tuple[Topic, tuple[str, ...]], ...] = (
    (Topic.WHY, ("why", "cause", "causes", "reason", "evidence", "explain", "diagnosis", "because")),
    (
        Topic.WAITING,
        ("waiting", "waits", "wait", "queue", "pending", "approval", "approvals", "approve", "decide", "todo", "needs"),
    ),
    (Topic.DONE, ("did", "done", "executed", "actions", "deployed", "deployments", "retrained")),
    (Topic.HAPPENED, ("happened", "happen", "history", "timeline", "story")),
    (
        Topic.WRONG,
        (
            "wrong",
            "problem",
            "problems",
            "incident",
            "incidents",
            "broken",
            "issue",
            "issues",
            "failing",
            "alerts",
            "bad",
        ),
    ),
    (Topic.STATUS, ("status", "state", "overview", "doing", "health", "healthy", "fine", "okay", "performance")),
    (Topic.HELP, ("help", "hello", "hi", "commands", "can")),
)
_SMALL = frozenset(
    re.findall(
        r"\w+",
        """a about all an and any anything are at be been did do does doing everything for from give going happened has
        have how i in is it its just last me model models my now of on or our please right should show since still tell
        that the there this to today was we week what whats which who with wrong yesterday you your""",
    )
)
_WORD = re.compile(r"[^\W_][\w-]*")
_RECORD = re.compile(r"(?<![\w-])([ip]-[0-9a-hjkmnp-z]{3,10})(?![\w-])")
_ABOUT = re.compile(r"\b(?:with|to|why|about|model|of|on|is|for)\s+(?:the\s+)?(?:model\s+)?([\w-]+)\s*\??\s*$")
CLOSE = 0.78


def understand(text: str, models: Sequence[str]) -> Asked:
    """The topic, and the models or the record that a question names.

    >>> understand("waht is wrong with bike demand?", ["bike-demand", "rainfall"]).models
    ('bike-demand',)
    >>> understand("why p-7k2m9xq4c1", []).record
    'p-7k2m9xq4c1'
    """
    lowered = text.lower().strip()
    record = _RECORD.search(lowered)
    found = _models_in(lowered, models)
    rest = _without(lowered, found)
    topic = _topic(_WORD.findall(rest))
    if record is not None and not any(record[1] == model for model in models):
        return Asked(Topic.WHY if topic in (Topic.UNKNOWN, Topic.HELP) else topic, record=record[1])
    if topic is Topic.UNKNOWN and found:
        topic = Topic.STATUS
    unknown = None
    if not found and topic in (Topic.WRONG, Topic.WHY, Topic.STATUS, Topic.HAPPENED):
        unknown = _stranger(lowered)
    several = len(found) > 1 and not all(_named(lowered, model) for model in found)
    return Asked(topic, found, ambiguous=several, unknown_model=unknown)


def _topic(said: Sequence[str]) -> Topic:
    """The first topic one of whose keywords is said; then the first that is nearly said."""
    for topic, keywords in _KEYWORDS:
        if set(said) & set(keywords):
            return topic
    for topic, keywords in _KEYWORDS:
        long = [keyword for keyword in keywords if len(keyword) >= 5]
        if any(len(word) >= 4 and difflib.get_close_matches(word, long, 1, 0.8) for word in said):
            return topic
    return Topic.UNKNOWN


def _spoken(model: str) -> str:
    return re.sub(r"[-_\s]+", " ", model.lower())


def _named(lowered: str, model: str) -> bool:
    said = f" {_spoken(' '.join(_WORD.findall(lowered)))} "
    return f" {_spoken(model)} " in said


def _models_in(lowered: str, models: Sequence[str]) -> tuple[str, ...]:
    """Models named in full; else the ones nearly named, or named by one of their words."""
    exact = tuple(model for model in models if _named(lowered, model))
    if exact:
        return tuple(m for m in exact if not any(m != other and _spoken(m) in _spoken(other) for other in exact))
    said = [word for word in _spoken(" ".join(_WORD.findall(lowered))).split() if word not in _SMALL]
    grams = {" ".join(said[i : i + size]) for size in (1, 2, 3) for i in range(len(said) - size + 1)}
    near = tuple(m for m in models if difflib.get_close_matches(_spoken(m), grams, 1, CLOSE))
    if near:
        return near
    reserved = {keyword for _, keywords in _KEYWORDS for keyword in keywords}
    parts = {word for word in said if len(word) >= 4 and word not in reserved}
    return tuple(m for m in models if parts & set(_spoken(m).split()))


def _without(lowered: str, found: Sequence[str]) -> str:
    """The question without the models' names: a model may be called `status-page`."""
    for model in found:
        pattern = r"[-_\s]+".join(re.escape(part) for part in _spoken(model).split())
        lowered = re.sub(rf"(?<![\w-]){pattern}(?![\w-])", " ", lowered)
    return lowered


def _stranger(lowered: str) -> str | None:
    """A name at the end of the question that no model has (`why foo-bar`), or None."""
    match = _ABOUT.search(lowered)
    if match is None:
        return None
    word = match[1]
    known = _SMALL | {keyword for _, keywords in _KEYWORDS for keyword in keywords}
    return None if word in known or len(word) < 3 or _topic([word]) is not Topic.UNKNOWN else word
