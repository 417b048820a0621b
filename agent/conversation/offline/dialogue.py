"""What is asked, with what was said before: `and last week?`, `why?`, `and churn?`, `the second one`, `more`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent.conversation.offline import entities, intents
from agent.conversation.offline.entities import Entities, Known
from agent.conversation.offline.periods import compared_days

LONGEST = 2000
_QUESTION = re.compile(
    r"(?:what|which|who|whose|when|where|why|how|did|does|do|has|have|had|is|are|was|were|would it|should|outcome)\b"
    r"(?! (?:not|please)\b)"
)
_WHY = re.compile(r"(?:and |so |but |ok |okay )*(?:why|how come)\b")
_DECIDED = re.compile(
    r"(?:please |can you |could you |yes,? )*(approve|accept|reject|decline) (?:it|that|all|every|the|this|them)"
)
_OF_TIME = frozenset(re.findall(r"\S+", "compare_versions performance trend report status incidents_past unknown"))
_OTHER_WHYS = frozenset(("why", "evidence", "decisions", "frozen", "wrong", "unknown", "outside"))
LOOKED_BACK = 6
"""Turns of the conversation that a follow-up may lean on."""
EVERYTHING = frozenset(
    re.findall(
        r"\S+",
        """status wrong list_models queue report compare_periods incidents_open help greeting thanks who_are_you outside
    frozen freeze runbook unknown""",
    )
)
"""Intents that mean every model unless one is named."""
OF_FEATURES = frozenset(("drift_feature", "distribution", "quality", "propose_unfit", "propose_silence"))
OF_PROPOSALS = frozenset(re.findall(r"\S+", """proposal who_may risk undo trial expiry decisions approve reject"""))
_MORE = re.compile(
    r"(?:(?:please |can you |could you |and )*(?:show|give|list|tell|see)?(?: me)? ?(?:some |any |the )?)?"
    r"(?:more|next(?: page| ones?)?|the rest|rest|continue|go on|further|remaining|others?)"
    r"(?: please| of (?:it|them|those))?[ ?.!]*"
)
_PLACES = {
    "first": 0,
    "1st": 0,
    "second": 1,
    "2nd": 1,
    "third": 2,
    "3rd": 2,
    "fourth": 3,
    "4th": 3,
    "fifth": 4,
    "5th": 4,
}
_PLACES |= {"last": -1, "latter": -1, "former": 0, "top": 0}
_PLACE = re.compile(
    rf"\b(?:the )?({'|'.join(_PLACES)})(?: one| of (?:them|those|these)| proposal| incident| entry| item)\b"
)
_BARE_PLACE = re.compile(
    rf"(?:(?:and|what about|show me|open|explain|tell me about) )*(?:the )?({'|'.join(_PLACES)})[ ?.!]*"
)
_NUMBER = re.compile(r"(?:\bnumber |\bno\.? ?|#)(\d{1,2})\b(?! (?:of|percent))")
_FILLER = frozenset(
    re.findall(
        r"\S+",
        """
    and what about how for in on the of then ok okay so also same with now is was it that this a an to as well too
    again please but during over at from by between since until instead or all right hm hmm well everything last
    next if only just there case""",
    )
)
_BACK = re.compile(r"\b(?:it|its|that|this|there|those|them|him|the model|the incident|the proposal|they|same)\b")
_CITED = re.compile(r"\b([ip]-[0-9a-hjkmnp-z]{3,12})\b")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was understood. `page` counts how often more of it was asked for."""

    intent: str = intents.UNKNOWN
    text: str = ""
    models: tuple[str, ...] = ()
    ambiguous: bool = False
    features: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    incident: str | None = None
    proposal: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    monitor: str | None = None
    stranger: str | None = None
    strange: tuple[str, ...] = ()
    page: int = 0
    said_model: bool = False
    no_such_place: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What a person said, and what was answered (empty: not yet)."""

    text: str
    answer: str = ""


def understand(turns: Sequence[Turn], known: Known, now: datetime) -> Asked:
    """The last turn, read after the ones before it."""
    asked: Asked | None = None
    told = ""
    for turn in turns[-LOOKED_BACK:]:
        found = _read(turn.text[:LONGEST], asked, told, known, now)
        asked = found if asked is None or found.intent not in ("thanks", "greeting") or turn is turns[-1] else asked
        told = turn.answer or told
    return asked or Asked()


def _read(text: str, before: Asked | None, told: str, known: Known, now: datetime) -> Asked:
    lowered = " ".join(text.lower().split())
    if before is not None and _MORE.fullmatch(lowered):
        return replace(before, page=before.page + 1)
    listed = list(dict.fromkeys(_CITED.findall(told)))
    placed = _placed(lowered, listed) if told else lowered
    if placed is None:
        return Asked(text=text, no_such_place=True)
    found = entities.find(placed, known, now)
    rest = [w for w in re.findall(r"[A-Za-z']+", found.text) if w not in _FILLER and w not in intents.MASKS]
    if before is not None and not rest and before.intent not in ("unknown", "help", "greeting", "thanks"):
        return _leaning(before, found, text, known) if not found.records else _about_record(found, text)
    if not rest and found.records:
        return _about_record(found, text)
    guess = intents.classifier().guess(found.text)
    intent = guess.intent if _understood(guess, found) else intents.UNKNOWN
    if intent.startswith("propose_") and (not _ordered(guess, rest) or _QUESTION.match(lowered)):
        intent = intents.UNKNOWN if guess.second.startswith("propose_") or len(rest) < 2 else guess.second
    if (order := _DECIDED.match(lowered)) is not None and not found.records:
        intent = "reject" if order[1][0] in "rd" else "approve"
    if intent in _OF_TIME and compared_days(lowered):
        intent = "compare_periods"
    if _WHY.match(lowered) and intent not in _OTHER_WHYS:
        intent = "why"
    if intent == "drift" and found.features:
        intent = "drift_feature"
    if (
        intent == intents.UNKNOWN
        and before is not None
        and len(rest) <= 2
        and (found.models or found.features or found.span)
    ):
        return _leaning(before, found, text, known)
    return _inherited(_asked(intent, found, text, known), before, told, lowered)


def _placed(lowered: str, listed: Sequence[str]) -> str | None:
    """The text with the id that `the second one` means; None when there is no such place in the last answer."""
    for pattern in (_PLACE, _NUMBER, _BARE_PLACE):
        match = pattern.search(lowered) if pattern is not _BARE_PLACE else pattern.fullmatch(lowered)
        if match is None:
            continue
        place = int(match[1]) - 1 if match[1].isdigit() else _PLACES[match[1]]
        if not listed:
            return lowered
        if place >= len(listed):
            return None
        return f"{lowered[: match.start()]}{listed[place]}{lowered[match.end() :]}"
    return lowered


def _understood(guess: intents.Guess, found: Entities) -> bool:
    """Whether the guess may stand. Words that have nothing to do with models count against it, unless a model, feature
    or record is named."""
    if found.records:
        return True
    words = [w.lower() for w in re.findall(r"[A-Za-z']+", found.text) if w not in intents.MASKS]
    if not words:
        return bool(found.models)
    foreign = [w for w in intents.foreign(found.text) if w != found.stranger]
    if len(foreign) > (1 - intents.FAMILIAR) * len(words):
        return False
    if foreign and not (found.models or found.features):
        told = len([w for w in words if w not in intents.stop_words()]) - len(foreign)
        return told >= len(foreign) and guess.margin >= intents.CLEAR
    return guess.sure


def _ordered(guess: intents.Guess, said: Sequence[str]) -> bool:
    """What is filed should have been wanted."""
    return len(said) > 0 and guess.margin >= intents.ORDERED and guess.height >= intents.ORDERED_HEIGHT


def _asked(intent: str, found: Entities, text: str, known: Known) -> Asked:
    models = found.models
    if not models and found.features:
        models = known.having(found.features[0])
    return Asked(
        intent, text, models, found.ambiguous, found.features, found.versions, found.record("i"), found.record("p"),
        found.span.since if found.span else None, found.span.until if found.span else None,
        found.monitor, found.stranger, found.strange, said_model=bool(found.models),
    )  # fmt: skip


def _about_record(found: Entities, text: str) -> Asked:
    intent = "proposal" if found.record("p") else "timeline"
    if found.record("x"):
        intent = "executions"
    return replace(_asked(intent, found, text, Known()), ambiguous=False)


def _leaning(before: Asked, found: Entities, text: str, known: Known) -> Asked:
    """The request before, with what is named now in place of what was named then."""
    new = _asked(before.intent, found, text, known)
    changes: dict[str, object] = {"text": text, "page": 0, "stranger": new.stranger, "strange": new.strange}
    if new.models:
        changes |= {
            "models": new.models,
            "ambiguous": new.ambiguous,
            "incident": None,
            "proposal": None,
            "said_model": True,
        }
        if not new.features and set(before.features) - set(known.features(new.models)):
            changes["features"] = ()
    if new.features and before.intent in ("drift", "worst_feature"):
        changes["intent"] = "drift_feature"
    for slot in ("features", "versions", "incident", "proposal", "monitor"):
        if getattr(new, slot):
            changes[slot] = getattr(new, slot)
    if found.span is not None:
        changes |= {"since": new.since, "until": new.until}
    return replace(before, **changes)  # type: ignore[arg-type]


def _inherited(asked: Asked, before: Asked | None, told: str, lowered: str) -> Asked:
    """A request that leaves out what the conversation is about."""
    cited = _CITED.findall(told)
    if asked.intent in OF_PROPOSALS and asked.proposal is None and not asked.said_model:
        last = before.proposal if before else None
        asked = replace(asked, proposal=last or next((c for c in cited if c.startswith("p-")), None))
    if before is None or asked.models or asked.incident or asked.stranger:
        return asked
    refers = _BACK.search(lowered) is not None
    if asked.intent in EVERYTHING and not (refers and asked.intent in ("status", "wrong")):
        return asked
    asked = replace(asked, models=before.models, incident=before.incident, ambiguous=before.ambiguous)
    if asked.intent in OF_FEATURES and not asked.features:
        asked = replace(asked, features=before.features)
    return asked
