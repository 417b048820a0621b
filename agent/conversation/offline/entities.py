"""What a request names: models, features, versions, records, times. The text is left with masks in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.conversation.offline import names, times
from agent.conversation.offline.intents import foreign, strange, vocabulary

_RECORD = re.compile(r"(?<![\w-])([ipdxrt]-[0-9a-hjkmnp-z]{3,10})(?![\w-])")
_MASK = {"i": "INCIDENT", "p": "PROPOSAL", "d": "DIAGNOSIS", "x": "EXECUTION"}
_ONE = r"(?:v(?:er(?:s\w{1,5}|\.)?)?\.?\s*(?:number\s*|no\.?\s*|#)?)"
_TWO_VERSIONS = re.compile(
    rf"\b{_ONE}?(\d{{1,5}})\s*(?:and|or|vs\.?|versus|with|to|from|against|than|&|,|/|relative to|compared to)"
    rf"\s*{_ONE}?(\d{{1,5}})\b"
    rf"(?:\s+versions?)?"
)
_VERSION = re.compile(rf"\b{_ONE}(\d{{1,5}})\b")
_NAMED = re.compile(
    r"\b(?:with|to|why|about|model|of|on|is|for|retrain)\s+(?:the\s+)?(?:model\s+)?([\w-]+)\s*(?:model)?\s*[?.!]*\s*$"
)
MONITORS = {
    "psi": "psi",
    "ks": "ks",
    "null": "null",
    "volume": "volume",
    "drift": "drift",
    "calibration": "calibration",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is there to be named: each model with its features (empty: not known yet)."""

    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def features(self, models: Sequence[str] = ()) -> tuple[str, ...]:
        wanted = models or tuple(self.models)
        return tuple(dict.fromkeys(f for model in wanted for f in self.models.get(model, ())))

    def having(self, feature: str) -> tuple[str, ...]:
        return tuple(model for model, features in self.models.items() if feature in features)


@dataclass(frozen=True, slots=True)
class Entities:
    """What was named, in the order of the text. `text` has masks for it; `stranger` is a name that nothing has."""

    text: str
    models: tuple[str, ...] = ()
    ambiguous: bool = False
    features: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    span: times.Span | None = None
    monitor: str | None = None
    stranger: str | None = None
    strange: tuple[str, ...] = ()

    def record(self, kind: str) -> str | None:
        """The first id of a kind (`i` incident, `p` proposal, `d` diagnosis, `x` execution)."""
        return next((r for r in self.records if r.startswith(f"{kind}-")), None)


def find(text: str, known: Known, now: datetime) -> Entities:
    """Everything that a request names.

    >>> from datetime import UTC
    >>> now = datetime(2026, 5, 20, tzinfo=UTC)
    >>> found = find("psi of tenuer in chrun since monday", Known({"churn": ("tenure",)}), now)
    >>> found.models, found.features, found.text
    (('churn',), ('tenure',), 'psi of FEATURE in MODEL TIME')
    """
    lowered = " ".join(text.lower().replace("’", "'").split())
    records = tuple(r for r in _RECORD.findall(lowered) if r not in known.models)
    for record in records:
        lowered = lowered.replace(record, _MASK.get(record[0], "INCIDENT"))
    span = times.find(lowered, now)
    if span is not None and not any(names.spoken(m) in span.said for m in known.models):
        lowered = f"{lowered[: span.start]}TIME{lowered[span.end :]}"
    ordinary = vocabulary()
    models = names.find(lowered, tuple(known.models), "MODEL", ordinary)
    features = _features(models, known, ordinary)
    masked, versions = _versions(features.text)
    odd = tuple(w for w in strange(masked))
    return Entities(
        masked,
        models.names,
        models.ambiguous,
        features.names,
        versions,
        records,
        span,
        next((value for word, value in MONITORS.items() if re.search(rf"\b{word}\b", masked)), None),
        _stranger(masked, odd) if not models.names else None,
        odd,
    )


def _features(models: names.Found, known: Known, ordinary: frozenset[str]) -> names.Found:
    """Features, but not one that is called like an ordinary word, unless the text says that it is meant as one."""
    among = known.features(models.names) or known.features()
    plain = tuple(f for f in among if f in ordinary and len(f) > 2)
    found = names.find(models.text, tuple(f for f in among if f not in plain and len(f) > 2), "FEATURE", ordinary)
    if found.names or not plain:
        return found
    for feature in plain:
        said = re.search(
            rf"\b(?:(?:feature|column|input|variable|field) {feature}|{feature} (?:feature|column|input|field))\b",
            models.text,
        )
        said = said or re.search(rf"\b(?:of|in|on|has|did|is|about|for) {feature}\b(?! of)", models.text)
        if said:
            return names.Found((feature,), re.sub(rf"\b{feature}\b", "FEATURE", models.text))
    return found


def _versions(text: str) -> tuple[str, tuple[str, ...]]:
    match = _TWO_VERSIONS.search(text)
    if match is not None:
        return f"{text[: match.start()]}VERSION and VERSION{text[match.end() :]}", (match[1], match[2])
    found = tuple(dict.fromkeys(_VERSION.findall(text)))
    return _VERSION.sub("VERSION", text), found


def _stranger(masked: str, odd: Sequence[str]) -> str | None:
    """A name that nothing has: written like a name (`foo-bar`), or standing where a name would (`why foo`)."""
    for word in odd:
        if re.search(r"[-_]", word) and any(len(part) >= 4 for part in foreign(re.sub(r"[-_]+", " ", word))):
            return word
    match = _NAMED.search(masked)
    return match[1] if match is not None and match[1] in odd and len(match[1]) >= 3 else None
