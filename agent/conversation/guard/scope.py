"""Which thing a number in a sentence is about: the names that it belongs to, and whether a fact is of that thing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agent.conversation.guard.claims import Named, Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Fact, Returned

KINDS = ("model", "feature", "metric", "monitor", "version", "segment", "cause")
MEASURED = frozenset(("value", "before", "after", "low", "high", "difference", "threshold", "overall"))
_DIRECT = re.compile(
    r"(?i)^\s*(?:%|points?)?\s*(?:\(\s*|(?:for|in|of|on|at|from|under|with|by)\s+)(?:the\s+|its\s+)?"
    r"(?:feature\s+|model\s+|column\s+|versions?\s+|segment\s+|v)?[`“\"*]{0,2}$"
)
_JOINED = re.compile(
    r"(?i)^[`”“\"*]{0,3}\s*(?:,|and|&|,\s*and|or|vs\.?|versus)\s*(?:the\s+|version\s+|v)?[`“\"*]{0,3}$"
)
_MANY = "other|others|both|all|each|every|everything|elsewhere|total|together|models|overall"
_OF_VERSIONS = (
    "versions?|trained|training|retrained|registered|registry|candidate|challenger|held.out|validation|when it was made"
)
_OF_FEATURES = frozenset(("psi", "ks", "js", "wasserstein", "jensen_shannon", "null_share", "missing_share", "chi2"))


@dataclass
class Scope:
    """The names that a number belongs to; a kind that is not there was not said."""

    names: dict[str, frozenset[str]] = field(default_factory=dict)
    carried: frozenset[str] = frozenset()

    def get(self, kind: str) -> frozenset[str]:
        return self.names.get(kind, frozenset())


def scope_of(sentence: Sentence, said: Said) -> Scope:
    """What a number is about: the name right after it (`0.2 for temp`), else the nearest before it, else any after."""
    scope = Scope()
    for kind in KINDS:
        if found := _attached(sentence, said, kind):
            scope.names[kind] = found
    if scope.get("metric") - _OF_FEATURES and scope.get("feature") and not _direct(sentence, said, "feature"):
        # `temp moved, and the mae went to 58`: the later word says what the number is.
        feature = max((n.end for n in sentence.of("feature") if n.end <= said.start), default=-1)
        metric = max((n.start for n in sentence.of("metric") if n.end <= said.start), default=-1)
        between = sentence.text[feature:metric] if -1 < feature < metric else ""
        if between and re.search(r"[,;:.]|\b(?:and|while|but|so|with|as|the|since|because)\b", between):
            del scope.names["feature"]
    carried = set()
    for kind, names in sentence.carried.items():
        if kind in scope.names:
            continue
        if kind == "model" and not sentence.says(_MANY):
            scope.names["model"] = names
            carried.add("model")
        elif kind != "model" and re.match(r"(?i)\W*(?:it|its|this|that|there|which|the same)\b", sentence.text):
            if not sentence.of("metric") or kind == "version":
                scope.names[kind] = names
                carried.add(kind)
    scope.carried = frozenset(carried)
    for cited in sentence.cites:
        record, _, _fact = cited.partition("/")
        if "-" in record:
            kind = f"record {record[0]}"
            scope.names[kind] = scope.get(kind) | {record}
    return scope


def _direct(sentence: Sentence, said: Said, kind: str) -> Named | None:
    later = [name for name in sentence.of(kind) if name.start >= said.end]
    if later and _DIRECT.search(sentence.text[said.end : later[0].start]):
        return later[0]
    return None


def _attached(sentence: Sentence, said: Said, kind: str) -> frozenset[str]:
    names = sentence.of(kind)
    if not names:
        return frozenset()
    if (direct := _direct(sentence, said, kind)) is not None:
        return frozenset((direct.name,))
    before = [name for name in names if name.end <= said.start]
    if not before:
        later = [name for name in names if name.start >= said.end]
        return frozenset((later[0].name,)) if later else frozenset()
    run = [before[-1]]
    for name in reversed(before[:-1]):
        if not _JOINED.search(sentence.text[name.end : run[0].start]):
            break
        run.insert(0, name)
    if len(run) == 1:
        return frozenset((run[0].name,))
    after = min((name.start for name in names if name.start >= said.end), default=len(sentence.text))
    numbers = [one for one in sentence.numbers if run[-1].end <= one.start < after]
    if len(numbers) == len(run) and said in numbers:
        return frozenset((run[numbers.index(said)].name,))
    return frozenset(name.name for name in run)


def fits(fact: Fact, scope: Scope, sentence: Sentence, returned: Returned) -> bool:
    """Whether a fact is of the thing that a number is about."""
    for kind in (kind for kind in scope.names if kind.startswith("record ")):
        if fact.called(kind) and not fact.called(kind) & scope.get(kind):
            return False
    if fact.called("model") and scope.get("model") and not fact.called("model") & scope.get("model"):
        return False
    measured = fact.role in MEASURED or fact.role == "written"
    for kind in ("feature", "segment"):
        said, has = scope.get(kind), fact.called(kind)
        if said and has and not said & has:
            return False
        if said and not has and measured:
            return False
    if fact.called("segment") and not scope.get("segment") and fact.role == "value" and fact.holder.listed == "slices":
        return False
    if measured and scope.get("metric") and fact.called("metric"):
        if not {_metric(m) for m in scope.get("metric")} & {_metric(m) for m in fact.called("metric")}:
            return False
    if scope.get("monitor") and fact.called("monitor") and not scope.get("monitor") & fact.called("monitor"):
        return False
    if fact.role == "probability" and fact.called("cause"):
        if scope.get("cause"):
            if not scope.get("cause") & fact.called("cause"):
                return False
        elif fact.holder.listed == "causes" and fact.holder.place > 0:
            return False
    return _of_version(fact, scope, sentence, returned)


def _metric(name: str) -> str:
    low = name.lower().replace(" ", "_")
    return {"auc": "roc_auc", "auroc": "roc_auc", "logloss": "log_loss"}.get(low, low)


def _of_version(fact: Fact, scope: Scope, sentence: Sentence, returned: Returned) -> bool:
    said, has = scope.get("version"), fact.called("version")
    if said and has:
        return bool(said & has)
    if said and fact.role == "value":
        kin = (f for f in returned.facts if f.role == "value" and f.called("version") & said)
        return not any(_metrics(f) & _metrics(fact) for f in kin)
    if has and fact.role == "value" and fact.holder.listed == "metrics":
        # What a version reached when it was made is not how the model does now.
        return sentence.says(_OF_VERSIONS)
    return True


def _metrics(fact: Fact) -> set[str]:
    return {_metric(name) for name in fact.called("metric")}
