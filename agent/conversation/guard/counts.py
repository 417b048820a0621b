"""How many there are: a number before a noun, against the lists and counts that were returned."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Holder, Returned
from agent.conversation.guard.scope import Scope

_NOUNS = {
    "incident": ("incidents", "similar"), "proposal": ("proposals",), "model": ("models",), "feature": ("features",),
    "column": ("features",), "input": ("features",), "version": ("versions",), "deployment": ("deployments",),
    "execution": ("executions",), "action": ("executions", "proposals"), "runbook": ("runbooks",), "alert": ("alerts",),
    "cause": ("causes",), "breach": ("features",), "approval": ("decisions",), "decision": ("decisions",),
    "step": ("steps",), "slice": ("slices",), "segment": ("slices",), "look": ("points",), "window": ("points",),
    "point": ("points",), "measurement": ("points", "series"), "trial": ("trials",), "fact": ("evidence",),
    "report": ("reports",), "event": ("timeline",), "series": ("series",), "difference": ("differences",),
    "rejection": ("decisions",), "person": ("may_decide",), "people": ("may_decide",),
}  # fmt: skip
_NOUN = re.compile(rf"(?i)^[\s-]*((?:[\w-]+[\s,]+){{0,4}}?)({'|'.join(_NOUNS)})(?:s|es)?\b")
_WORDS = {
    "breaches": "drift|breach|mov|shift|cross|beyond|above|over|alarm|exceed",
    "checked": "check|feature|column|input|watch",
    "still_needed": "need|missing|more",
    "labels_needed": "need|label|more",
    "looks": "look",
}
_SYNONYMS = {
    "pending": "pending|waiting|waits|wait|awaiting|open", "resolved": "resolved|closed", "healthy": "healthy|fine|well",
    "incident": "failing|with an open incident|in incident|unhealthy", "no_data": "no data|without data",
    "breach": "drift|drifted|moved|shifted|breach|breached|beyond|above|over|exceed|crossed", "ok": "ok|fine|within",
    "succeeded": "succeeded|helped|worked", "done": "done|carried out|finished|executed", "approve": "approved|approval|approvals",
    "reject": "rejected|rejection|rejections",
}  # fmt: skip
_UNRESOLVED = frozenset(("open", "diagnosed", "waiting", "acting", "verifying"))


def counted(sentence: Sentence, said: Said) -> tuple[str, str] | None:
    """The noun that a whole number counts, and the words between; None where it counts nothing known."""
    if not (said.digits == 0 and said.scale == 1 and not said.unit):
        return None
    after = sentence.masked[said.end :]
    of = re.match(r"(?i)^\s*(?:out\s+)?of\s+(?:the\s+|its\s+|all\s+)?(?:\d+|[a-z]+)?", after)
    if of and (found := _NOUN.match(after[of.end() :])):
        return found[2].lower(), after[: of.end()] + found[1]
    if found := _NOUN.match(after):
        return found[2].lower(), found[1]
    return None


def candidates(
    said: Said, noun: str, between: str, sentence: Sentence, scope: Scope, returned: Returned
) -> set[float] | None:
    """The numbers that such a count may be; None when what was returned does not hold the whole list."""
    found: set[float] = set()
    singled_out = False
    keys = _NOUNS[noun]
    for key in keys:
        if key in returned.paged:
            continue
        everything = _distinct(returned.lists.get(key, ()))
        own = [
            h
            for h in everything
            if not scope.get("model") or not h.called("model") or h.called("model") & scope.get("model")
        ]
        for holders in (own, everything) if scope.carried or not scope.get("model") else (own,):
            # `two of the five features drifted`: what is said is said of the two.
            of_these = re.search(r"(?i)\bof\s+(?:the\s+|its\s+|all\s+)?$", sentence.masked[: said.start]) is not None
            words = between if of_these else f"{between} {_after_noun(noun, sentence, said)}"
            qualified = None if of_these else _qualified(holders, words)
            if qualified is not None:
                singled_out = True
                found.add(float(len(qualified)))
                continue
            if key in returned.lists:
                found.add(float(len(holders)))
            if re.search(r"(?i)\bof\b", between) or noun == "breach":
                found.discard(float(len(holders))) if not _is_total(between) else None
            wider = _qualified(holders, f"{between} {sentence.masked}")
            if wider is not None:
                found.add(float(len(wider)))
    for fact in returned.facts:
        if not fact.role.startswith("count ") or (
            scope.get("model") and fact.called("model") and not fact.called("model") & scope.get("model")
        ):
            continue
        if singled_out and fact.key in ("checked", *keys):
            continue
        if about(fact.key, sentence, noun):
            found.add(fact.value)
    return found or None


def _after_noun(noun: str, sentence: Sentence, said: Said) -> str:
    """What is said of those that are counted: `(two proposals) are pending`."""
    tail = re.split(r"(?i)[,;.:]|\sand\s|\sof (?:them|which)", sentence.masked[said.end : said.end + 90])[0]
    found = re.search(rf"(?i)\b{noun}(?:s|es)?\b(.*)", tail)
    return found[1][:45] if found else ""


def _is_total(between: str) -> bool:
    return not re.match(r"(?i)\s*(?:out\s+)?of\b", between)


def about(key: str, sentence: Sentence, noun: str = "") -> bool:
    """Whether a sentence speaks of a count by this name (`still_needed`, `opened`)."""
    if key in _WORDS:
        return re.search(rf"(?i)\b(?:{_WORDS[key]})", sentence.text) is not None
    parts = [part for part in key.lower().split("_") if len(part) > 2]
    return any(re.search(rf"(?i)\b{re.escape(part[:5])}", sentence.text) for part in parts) or (
        bool(noun) and noun[:5] in key
    )


def _distinct(holders: Iterable[Holder]) -> list[Holder]:
    seen: dict[object, Holder] = {}
    for holder in holders:
        name = holder.fields.get("id") or holder.fields.get("name")
        # The same feature in two results is one thing, and so is the same incident.
        key = (name, tuple(sorted(holder.called("model")))) if isinstance(name, str) else id(holder)
        seen.setdefault(key, holder)
    return list(seen.values())


def _qualified(holders: list[Holder], words: str) -> list[Holder] | None:
    """Those that the words single out (`open`, `critical`, `pending high-risk`); None when they single out none."""
    kept, any_word = holders, False
    values = {
        (key, value)
        for holder in holders
        for key, value in holder.fields.items()
        if isinstance(value, str) and 0 < len(value) <= 30 and key not in ("id", "title", "why", "detail")
    }
    by_key: dict[str, set[str]] = {}
    for key, value in values:
        spoken = _SYNONYMS.get(value, re.escape(value).replace("_", "[ _-]"))
        if re.search(rf"(?i)(?<![\w-])(?:{spoken})(?![\w])", words):
            by_key.setdefault(key, set()).add(value)
    if re.search(r"(?i)\b(?:open|unresolved|ongoing)\b", words) and any(
        isinstance(h.fields.get("state"), str) and "opened_at" in h.fields for h in holders
    ):
        any_word = True
        kept = [h for h in kept if h.fields.get("state") in _UNRESOLVED]
        by_key.pop("state", None)
    for key, pattern in (
        ("open_incident", r"(?:open )?incidents?"),
        ("waiting_proposal", r"(?:waiting |pending )?proposals?|waiting"),
    ):
        if any(key in h.fields for h in holders) and re.search(rf"(?i)\b(?:{pattern})\b", words):
            any_word = True
            denied = re.search(rf"(?i)\b(?:no|without(?: an?)?) (?:{pattern})\b", words) is not None
            kept = [h for h in kept if (h.fields.get(key) is None) is denied]
            by_key.pop("state", None)
    for key, wanted in by_key.items():
        any_word = True
        kept = [h for h in kept if h.fields.get(key) in wanted]
    for word, field in (
        ("open", "resolved"),
        ("pending", "pending"),
        ("waiting", "pending"),
        ("critical", "critical"),
        ("rejected", "rejected"),
        ("resolved", "resolved"),
        ("failed", "failed"),
    ):
        if not any_word and holders and re.search(rf"(?i)\b{word}\b", words) and "state" in holders[0].fields:
            return [] if word != "open" else [h for h in holders if h.fields.get("state") != field]
    return kept if any_word else None
