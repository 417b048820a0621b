"""How things stand, in the closed words of the records: healthy, resolved, approved, high risk, the cause, who decided."""
# ruff: noqa: E501, SIM905 (tables of words and of cases read better unbroken)

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.conversation.guard.claims import Sentence
from agent.conversation.guard.quantities import Said
from agent.conversation.guard.returned import Holder, Returned
from agent.conversation.guard.scope import Scope, scope_of

_GUARD = re.compile(
    r"(?i)\b(?:not|no|never|none|neither|nor|cannot|can't|isn't|wasn't|aren't|hasn't|haven't|didn't|doesn't|rather than|instead of|whether|"
    r"if|unless|until|once|when|should|would|could|may|might|must|can|will|to be|be|before|needs? to|has to|have to|waits? to|waiting to|yet to)\b"
    r"[^,;.]{0,20}$"
)
_ENDED = frozenset(("executed", "verifying", "succeeded", "failed", "inconclusive"))
# words of a person -> the states of a proposal in which they are true
_PROPOSAL: tuple[tuple[str, frozenset[str]], ...] = (
    (r"(?:is|are|still|now|currently|remains?) (?:still |now |currently )?(?:pending|waiting|awaiting)|waits? for (?:a |an |your )?(?:decision|approval)|pending (?:approval|decision)|awaits?", frozenset(("pending",))),
    (r"(?:was|were|is|has been|have been|been|got|already) (?:already )?approved|approved by|approved on|(?<=, )approved", frozenset(("approved", "executing", *_ENDED, "superseded"))),
    (r"(?:was|were|is|has been|been|got|already) (?:already )?(?:rejected|turned down|declined)|rejected by|rejected on|(?<=, )rejected", frozenset(("rejected",))),
    (r"(?:has |have |is |was )?(?:already )?expired|ran out of time", frozenset(("expired",))),
    (r"(?:was|were|is|has been|been|already) (?:already )?withdrawn", frozenset(("withdrawn",))),
    (r"(?:was|were|is|has been|been|already) (?:already )?(?:carried out|executed|applied)", _ENDED),
    (r"succeeded|(?:it|this|that|which|and|action|retraining|rollback|recalibration) (?:has )?(?:helped|worked)", frozenset(("succeeded",))),
    (r"(?:it|this|that|which|and|action|retraining|rollback|recalibration|verification) (?:has )?failed|did not help|didn't help", frozenset(("failed",))),
)  # fmt: skip
_INCIDENT: tuple[tuple[str, bool], ...] = (
    (r"(?:is|are|was|were|has been|been|now|already|got) (?:now |already |since )?(?:resolved|closed|over|fixed)|resolved on|closed on|recovered", True),
    (r"(?:is|are|remains?|stays?|still) (?:still |currently )?(?:open|unresolved|ongoing)|still open|not (?:yet )?(?:been )?resolved|unresolved", False),
)  # fmt: skip
_FINE = r"(?:is|are|looks?|seems?|remains?|doing|stays?|both|all) (?:still |currently |perfectly |all |both )?(?:healthy|fine|well|ok|okay|in good health|good|all right)|healthy|no (?:open |unresolved |current )?(?:incidents?|problems?|issues?)|nothing (?:is |seems )?(?:wrong|open)|all clear|all is well|without (?:an )?(?:open )?incident"  # fmt: skip
_ILL = r"(?:is|are) (?:currently |now |still )?(?:failing|broken|unhealthy|down|in trouble|degraded|ill)|has (?:an? )?(?:open |unresolved |ongoing )+incident|in an incident|an? open incident"
_KINDS = {
    "retrain": r"retrain\w*", "rollback": r"roll(?:ing|ed)?[ -]?back|rollback|go(?:ing)? back to version",
    "promote": r"promot(?:e|ing|ion)", "recalibrate": r"recalibrat\w+", "refresh_reference": r"refresh\w* (?:of )?(?:the )?reference|new reference",
    "fix_data": r"fix(?:ing)? (?:the )?data|data repair|repair\w* (?:of )?(?:the )?(?:data|columns?)", "wait_for_labels": r"wait(?:ing)? for (?:more )?labels",
    "no_action": r"no action|do(?:ing)? nothing|change nothing",
    "mark_data_unfit": r"mark\w* .{0,20}unfit", "silence": r"silenc\w+",
}  # fmt: skip
_PROPOSES = (
    r"propos\w+|suggest\w*|recommend\w*|advis\w+|waits?|waiting|pending|asks? for|requested|calls for|approved|rejected"
)
_BY = re.compile(
    r"(?i)\b(approved|rejected|declined|decided|signed off|requested|proposed|frozen|owned|turned down)\s+(?:\w+\s)?by\s+"
    r"((?:@|#)?[\w.-]+(?:\s(?:and|,)\s(?:@|#)?[\w.-]+)*)"
)
_NOBODY = frozenset(
    """
    you us me a an the someone somebody person people team policy watchkeeper it that two one three at least
    anyone nobody itself
    """.split()
)
_RISK = re.compile(
    r"(?i)\b(low|medium|high)[- ]risk\b|\brisk(?:\s(?:is|of|level|rated|:|=))*\s*:?\s*(low|medium|high)\b"
)
_SEVERITY = re.compile(
    r"(?i)\b(critical|warning)\b(?=[- ](?:incident|severity|alert|level)|[,;.]|$)|\bseverity(?: is| of|:)?\s+(critical|warning)\b"
)
_CAUSAL = re.compile(r"(?i)\b(?:most likely|probably|main|leading|likeliest|root|because of|caused by|due to|diagnos\w+ (?:is|as|says|was)|cause is|cause was|the cause|reason is|comes from|stems from|explained by)\b")  # fmt: skip


def check_standing(sentence: Sentence, returned: Returned) -> list[str]:
    """What a sentence says of how things stand that the results contradict; one line each."""
    scope = scope_of(sentence, Said(len(sentence.text), len(sentence.text), 0.0, 0))
    return [
        *_models(sentence, scope, returned),
        *_incidents(sentence, scope, returned),
        *_proposals(sentence, scope, returned),
        *_labels(sentence, scope, returned),
        *_causes(sentence, scope, returned),
        *_people(sentence, scope, returned),
        *_champions(sentence, scope, returned),
    ]


_DECIDED = r"(?:has|have|was|were|been|is|are) (?:already )?(?:approved|rejected|executed|carried out)|(?:approved|rejected) (?:by|everything|it|this|all)"
_ALL_DECIDED = r"(?:approved|rejected|executed|authori[sz]ed) (?:everything|anything|every \w+|all (?:of )?(?:it|them|the|that|proposals)|all)"
"""Nobody decides on everything: a decision is on one proposal."""


def check_support(sentence: Sentence, returned: Returned) -> list[str]:
    """What a sentence says of how things stand that no result speaks of at all; one line each."""
    scope = scope_of(sentence, Said(len(sentence.text), len(sentence.text), 0.0, 0))
    text = sentence.masked
    doubts = []
    states = _own(_with(returned, "state"), scope, sentence) + _own(_with(returned, "verdict"), scope, sentence)
    if not states and sentence.of("model") and (_says(_FINE, text) or _says(_ILL, text)):
        doubts.append("no result says how it stands")
    incidents = _own(_with(returned, "state", "opened_at"), scope, sentence)
    if not incidents and sentence.says("incidents?") and any(_says(pattern, text) for pattern, _ in _INCIDENT):
        doubts.append("no result says how the incident stands")
    decided = [h for h in returned.holders if {"decisions", "decision", "started_at", "approved_at"} & set(h.fields)]
    if not decided and _says(_DECIDED, text):
        doubts.append("no result speaks of a decision")
    if _says(_ALL_DECIDED, text):
        doubts.append("no result says that everything was decided")
    people = {
        str(h.fields[k]).lower()
        for h in returned.holders
        for k in ("person", "actor")
        if isinstance(h.fields.get(k), str)
    }
    for found in _SUBJECT.finditer(text):
        if found[1].lower() not in _NOBODY | _NO_SUBJECT and found[1].lower() not in people:
            doubts.append(f"no result says that {found[1]} {found[2]}")
    return doubts


_SUBJECT = re.compile(r"(?i)\b([a-z][\w.-]*) (?:has |have )?(?:already )?(approved|rejected)\b(?! by)")
_NO_SUBJECT = frozenset(
    """
    i is was were are be been being not already it they who and or once if when get got have has proposal
    proposals action retraining rollback yet until nothing none model to later then both an last first two of that
    which recalibration risk decision bot never newly recently just state as
    """.split()
)


def _says(pattern: str, text: str) -> re.Match[str] | None:
    for found in re.finditer(rf"(?i)(?<![\w-])(?:{pattern})(?![\w])", text):
        if not _GUARD.search(text[: found.start()]):
            return found
    return None


def _own(holders: Iterable[Holder], scope: Scope, sentence: Sentence) -> list[Holder]:
    """The records that a sentence speaks of: those it cites, else those of the models it names, else all."""
    kept = []
    named = {name.name for name in sentence.of("model")} or scope.get("model")
    for holder in holders:
        records = [k for k in scope.names if k.startswith("record ") and holder.called(k)]
        if records:
            if all(holder.called(k) & scope.get(k) for k in records):
                kept.append(holder)
        elif not named or not holder.called("model") or holder.called("model") & named:
            kept.append(holder)
    return kept


def _with(returned: Returned, *keys: str) -> list[Holder]:
    return [h for h in returned.holders if all(key in h.fields for key in keys)]


def _models(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    states = [h for h in _with(returned, "name", "state") if h.listed == "models"]
    states = [h for h in states if h.called("model") & scope.get("model")] if scope.get("model") else states
    text = sentence.masked
    fine, ill = _says(_FINE, text), _says(_ILL, text)
    if re.search(r"(?i)\b(?:not|isn't|aren't|never)\s+(?:\w+\s)?(?:healthy|fine|well|ok)", text):
        fine = None
    if (
        not sentence.of("model")
        and not scope.get("model")
        and not re.search(r"(?i)\b(?:every|all|nothing|no|both|everything)\b", text)
    ):
        return
    all_of = len(sentence.of("model")) != 1 or sentence.says("all|both|every\\w*")
    for holder in states:
        model, state = "/".join(sorted(holder.called("model"))), str(holder.fields["state"])
        clause = _clause_of(text, sentence, model) if sentence.of("model") else text
        here_fine = fine is not None and (_says(_FINE, clause) is not None or (all_of and not sentence.of("model")))
        if here_fine and (holder.fields.get("open_incident") or state in ("incident", "no_data")):
            yield f"{model} is not healthy: its state is {state}" + (
                f", incident {holder.fields['open_incident']} is open" if holder.fields.get("open_incident") else ""
            )
        if ill is not None and _says(_ILL, clause) and state == "healthy" and not holder.fields.get("open_incident"):
            yield f"{model} is healthy and has no open incident"
    if fine is not None and not states:
        for holder in _own(_with(returned, "verdict", "causes"), scope, sentence):
            if holder.fields["verdict"] == "incident":
                yield "the diagnosis that was returned found an incident"
                return
    if fine is not None and not states and re.search(r"(?i)incident|healthy|fine|nothing", fine[0]):
        for holder in _own(_with(returned, "state", "opened_at"), scope, sentence):
            if holder.fields["state"] != "resolved":
                yield f"there is an open incident: {holder.fields.get('id', '')}"
                break


def _clause_of(text: str, sentence: Sentence, model: str) -> str:
    """The part of a sentence that speaks of one of several models."""
    named = sentence.of("model")
    if len({n.name for n in named}) < 2:
        return text
    for place, name in enumerate(named):
        if name.name == model:
            end = named[place + 1].start if place + 1 < len(named) else len(text)
            if re.fullmatch(r"\s*(?:,|and|,\s*and)\s*", text[name.end : end]) and place + 1 < len(named):
                end = named[place + 2].start if place + 2 < len(named) else len(text)
            return text[name.end : end]
    return text


def _incidents(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    if not (sentence.says("incidents?") or any(c.startswith("i-") for c in sentence.cites)):
        return
    own = _own(_with(returned, "state", "opened_at"), scope, sentence)
    for pattern, resolved in _INCIDENT:
        found = _says(pattern, sentence.masked)
        if found is None or not own or re.match(r"(?i)\s*(?:proposals?|approvals?)", sentence.masked[found.end() :]):
            continue
        if all((h.fields["state"] == "resolved") is not resolved for h in own):
            yield f"incident {own[0].fields.get('id', '')} is {own[0].fields['state']}, not {found[0].split()[-1]}"


def _proposals(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    about = sentence.says(
        "proposals?|proposed|action|retrain\\w*|roll\\w*|recalibrat\\w*|promot\\w*|approv\\w*|reject\\w*|decision"
    )
    if not (about or any(c.startswith(("p-", "x-")) for c in sentence.cites)):
        return
    own = [
        h for h in _own(returned.lists.get("proposals", ()), scope, sentence) if isinstance(h.fields.get("state"), str)
    ]
    if not own:
        return
    text = sentence.masked
    for pattern, states in _PROPOSAL:
        found = _says(pattern, text)
        if found and not any(h.fields["state"] in states or _verdict(h) in states for h in own):
            yield f"proposal {own[0].fields.get('id', '')} is {own[0].fields['state']}, not “{found[0].strip()}”"
    if re.search(rf"(?i)\b(?:{_PROPOSES})\b", text) or any(c.startswith("p-") for c in sentence.cites):
        kinds = {_kind(h) for h in own} - {""}
        said = {kind for kind, pattern in _KINDS.items() if _says(pattern, text)}
        if kinds and said and not said & kinds and not (kinds & {"fix_data"} and said & {"mark_data_unfit"}):
            yield f"the proposed action is {'/'.join(sorted(kinds))}, not {'/'.join(sorted(said))}"


def _verdict(holder: Holder) -> str:
    found = holder.fields.get("verification")
    return str(found.get("verdict", "")) if isinstance(found, dict) else str(found or "")


def _kind(holder: Holder) -> str:
    action = holder.fields.get("action")
    return str(holder.fields.get("kind") or (action.get("kind", "") if isinstance(action, dict) else ""))


def _labels(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    """Risk and severity."""
    for pattern, key in ((_RISK, "risk"), (_SEVERITY, "severity")):
        for found in pattern.finditer(sentence.masked):
            said = next(part for part in found.groups() if part).lower()
            own = list(_own(_with(returned, key), scope, sentence))
            if own and not any(h.fields[key] == said for h in own):
                yield f"the {key} is {own[0].fields[key]}, not {said}"


def _causes(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    """The cause that is called the likeliest, and causes that no diagnosis names."""
    from ml.diagnosis.causes import Cause

    found = _CAUSAL.search(sentence.masked) or _CAUSAL.search(sentence.text)
    named = sentence.of("cause")
    leads = [h for h in returned.lists.get("causes", ()) if h.place == 0]
    leads = leads or [h for h in returned.lists.get("incidents", ()) if h.fields.get("cause")]
    leads = _own(leads, scope, sentence)
    if not leads:
        return
    candidates = {str(h.fields.get("cause")) for h in returned.holders}
    everything = {str(h.fields.get("cause")) for h in returned.holders} | {
        str(h.fields.get("what")) for h in returned.holders
    }
    for cause in Cause:
        if cause == "healthy":
            continue
        spoken = str(cause).replace("_", "[ _-]")
        if cause.startswith("concept_drift_"):
            spoken = rf"{cause.removeprefix('concept_drift_')} (?:concept )?drift"
        if str(cause) not in candidates and found and _says(spoken, sentence.masked) and str(cause) in everything:
            yield f"{str(cause).replace('_', ' ')} was ruled out"
        if str(cause) not in everything and _says(spoken, sentence.masked):
            yield f"no diagnosis that was returned names {str(cause).replace('_', ' ')}"
    if found and named:
        after = [n for n in named if n.start >= found.start()] or named
        if not _GUARD.search(sentence.text[: found.start()]) and not re.search(
            r"(?i)second|next|also|other|alternativ|less|ruled", sentence.masked
        ):
            if not any(after[0].name in h.called("cause") for h in leads):
                lead = "/".join(sorted(leads[0].called("cause"))).replace("_", " ")
                yield f"the leading cause is {lead}, not {after[0].name.replace('_', ' ')}"


def _people(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    for found in _BY.finditer(sentence.text):
        verb = found[1].lower()
        people = [p for p in re.split(r"\s(?:and|,)\s|,\s", found[2]) if p.lower().strip(".") not in _NOBODY]
        keys = {
            "requested": ("requested_by",),
            "proposed": ("requested_by",),
            "frozen": ("frozen_by",),
            "owned": ("owner",),
        }.get(verb, ("person", "actor", "approved_by", "by"))
        decision = {"approved": "approve", "rejected": "reject", "declined": "reject", "turned down": "reject"}.get(
            verb
        )
        known: set[str] = set()
        for holder in _own(returned.holders, scope, sentence):
            if decision and holder.fields.get("decision") not in (None, decision):
                continue
            known |= {str(holder.fields[k]).lower() for k in keys if isinstance(holder.fields.get(k), str)}
        for person in people:
            name = person.strip(".@#").lower()
            if (
                name
                and not name[0].isdigit()
                and not any(name == one.strip("@#") or name in one.split() for one in known)
            ):
                yield f"no result says that it was {verb} by {person.strip('.')}"


def _champions(sentence: Sentence, scope: Scope, returned: Returned) -> Iterator[str]:
    """`version 3 answers now`."""
    pattern = re.compile(
        r"(?i)\b(?:champion|answers|serves|serving|live|in production|in charge|deployed now|current version)\b"
    )
    found = pattern.search(sentence.masked)
    versions = sentence.of("version")
    if (
        found is None
        or not versions
        or _GUARD.search(sentence.masked[: found.start()])
        or sentence.says("was|before|earlier|former\\w*|since|until|went|from")
    ):
        return
    near = min(versions, key=lambda n: min(abs(n.start - found.end()), abs(found.start() - n.end)))
    champions = {
        str(h.fields["champion"])
        for h in _own(_with(returned, "champion"), scope, sentence)
        if h.fields.get("champion") is not None
    }
    if champions and near.name not in champions:
        yield f"the champion is version {'/'.join(sorted(champions))}, not version {near.name}"
