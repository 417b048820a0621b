"""What happened and what is decided: incidents, proposals, executions, each in a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.sentence import (
    Told,
    cite,
    clause,
    interval,
    items,
    number,
    page,
    quoted,
    share,
    trouble,
    when,
)
from agent.domain.wording import DONE, in_order_to, length, names, words

_STANDING = {
    "open": "not diagnosed yet",
    "diagnosed": "diagnosed, nothing is being done",
    "waiting": "an action waits for a decision",
    "acting": "the action is being carried out",
    "verifying": "the effect of the action is being watched",
}


def incident_line(incident: Mapping[str, Any]) -> str:
    """One incident in a sentence: what, how sure, since when, and how it stands."""
    text = f"{clause(incident.get('model'), 80)}: "
    if incident.get("cause"):
        text += words(clause(incident["cause"], 80))
        if incident.get("probability") is not None:
            text += f", {share(incident['probability'])} sure"
    else:
        text += clause(incident.get("title"))
    text += f"; opened {when(incident.get('opened_at'))}, {clause(incident.get('severity'), 20)}"
    state = str(incident.get("state"))
    if state == "resolved":
        text += f", closed {when(incident.get('resolved_at'))}"
        text += f": {clause(incident['resolution'])}" if incident.get("resolution") else ""
    else:
        text += f", {_STANDING.get(state, words(state))}"
    return f"{text}{cite(incident.get('id'))}."


def waiting_line(proposal: Mapping[str, Any], now: datetime) -> str:
    """A proposal that waits: what it does, its risk, until when, and where a person decides."""
    text = f"{clause(proposal.get('model'), 80)}: to {_action(proposal)}; risk {clause(proposal.get('risk'), 20)}, "
    return (
        f"{text}{_until(proposal, now)}{cite(proposal.get('id'))}. Decide: `watchkeeper approve {proposal.get('id')}`."
    )


def _until(proposal: Mapping[str, Any], now: datetime) -> str:
    try:
        by = datetime.fromisoformat(str(proposal.get("approve_by")))
    except ValueError:
        return "until an unknown time"
    return f"until {when(proposal['approve_by'])}" if by > now else f"its time ended on {when(proposal['approve_by'])}"


def _action(proposal: Mapping[str, Any]) -> str:
    action = proposal.get("action")
    return in_order_to(action) if isinstance(action, Mapping) else words(clause(proposal.get("kind"), 40))


def incidents_open(situation: Situation) -> Told:
    found = [i for i in items(situation, "incidents", "incidents") if i.get("state") != "resolved"]
    if found:
        return [*[incident_line(i) for i in found], *_errors(situation, "incidents")]
    return _errors(situation, "incidents") or [
        "No incident is open on record. That is no all-clear for a model without data: ask “status”."
    ]


def incidents_past(situation: Situation) -> Told:
    found = items(situation, "incidents", "incidents")
    shown, more = page(situation, found, "incidents")
    if found:
        return [*[incident_line(i) for i in shown], *more]
    return trouble(situation.of("incidents")) or [f"No incident is on record{_about(situation)}."]


def _about(situation: Situation) -> str:
    asked = situation.asked
    text = f" for {names(list(asked.models))}" if asked.models else ""
    if asked.since is not None:
        text += f" since {when(asked.since.isoformat())}"
    return text + (f" until {when(asked.until.isoformat())}" if asked.until is not None else "")


def _errors(situation: Situation, tool: str) -> Told:
    return trouble(d for d in situation.of(tool) if d.document.get("status") == "error")


def timeline(situation: Situation) -> Told:
    """One incident from opening to closing, step by step."""
    found = [d for d in situation.of("incidents") if d.call.arguments.get("id")]
    lines: Told = []
    for done in found:
        for incident in done.data.get("incidents", []):
            lines.append(incident_line(incident))
            steps = _part(done.data, incident, "timeline")
            shown, more = page(situation, steps, "incidents")
            for step in shown:
                what, who = clause(step.get("text") or step.get("event")), clause(step.get("actor"), 60)
                lines.append(f"{when(step.get('at'))}: {what} ({who}){cite(incident.get('id'))}.")
            lines += more
    lines += trouble(found)
    return lines or trouble(situation.of("incidents")) or [f"No incident is on record{_about(situation)}."]


def _part(data: Mapping[str, Any], incident: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = data.get(key) or incident.get(key) or []
    return [one for one in found if isinstance(one, Mapping)]


def alerts(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("incidents"):
        for incident in done.data.get("incidents", []) if done.call.arguments.get("id") else []:
            for alert in _part(done.data, incident, "alerts"):
                feature = f" of {clause(alert['feature'], 60)}" if alert.get("feature") else ""
                state = "cleared" if alert.get("cleared_at") else "firing"
                lines.append(
                    f"{clause(incident.get('model'), 80)}: {clause(alert.get('monitor'), 60)}{feature}, "
                    f"{clause(alert.get('severity'), 20)}, {state}: {clause(alert.get('detail'))}"
                    f"{cite(incident.get('id'))}."
                )
    return lines or trouble(situation.of("incidents")) or [f"No alert is on record{_about(situation)}."]


def similar(situation: Situation) -> Told:
    done = situation.of("similar_incidents")
    if not done:
        return trouble(situation.of("incidents")) or [
            f"No incident is on record{_about(situation)}, so nothing to compare."
        ]
    lines = []
    for s in items(situation, "similar_incidents", "similar"):
        text = f"{clause(s.get('model'), 80)}: {clause(s.get('title'))}, similarity {number(s.get('similarity'))}"
        text += f", cause {words(clause(s['cause'], 80))}" if s.get("cause") else ""
        text += (
            f", action {DONE.get(str(s.get('action')), words(clause(s.get('action'), 40)))}" if s.get("action") else ""
        )
        text += f", outcome: {clause(s['outcome'])}" if s.get("outcome") else ""
        lines.append(f"{text}{cite(s.get('id'))}.")
    return lines or trouble(done) or ["No past incident is like it on record."]


def runbook(situation: Situation) -> Told:
    found = items(situation, "runbooks", "runbooks")
    lines = [f"Runbook {clause(r.get('name'), 80)}, “{clause(r.get('title'), 120)}”: {_prose(r)}." for r in found[:3]]
    others = [clause(r.get("name"), 80) for r in found[3:]]
    return (
        lines + ([f"Others: {names(others, 12)}."] if others else [])
        or trouble(situation.of("runbooks"))
        or ["No runbook fits that; they are markdown files in the workspace's `runbooks/`."]
    )


def _prose(runbook: Mapping[str, Any]) -> str:
    """A runbook's text without its heading, which is its title."""
    text = str(runbook.get("text") or runbook.get("excerpt") or "")
    return clause(re.sub(r"(?m)^\s*#+ .*$", "", text, count=1), 600)


def executions(situation: Situation) -> Told:
    """What was carried out, and whether it helped."""
    found = executions_of(situation)
    shown, more = page(situation, found, "executions")
    if shown:
        return [*[done_line(e) for e in shown], *more]
    return trouble([*situation.of("executions"), *situation.of("proposals")]) or [
        f"No action has been carried out{_about(situation)}; without an approval nothing is carried out."
    ]


def executions_of(situation: Situation) -> list[Mapping[str, Any]]:
    found = items(situation, "executions", "executions")
    for p in items(situation, "proposals", "proposals"):
        if isinstance(p.get("execution"), Mapping):
            whole = {"proposal": p.get("id"), "model": p.get("model"), "kind": p.get("kind"), **p["execution"]}
            found.append({**whole, "verification": whole.get("verification") or p.get("verification")})
    return found


def done_line(execution: Mapping[str, Any]) -> str:
    kind = clause(execution.get("kind"), 40)
    text = f"{clause(execution.get('model'), 80)}: {DONE.get(kind, words(kind))}"
    if execution.get("state") == "failed":
        text += f", not completed: {clause(execution.get('error')) or 'no reason recorded'}"
    elif execution.get("seconds") is not None:
        text += f", carried out in {length(float(execution['seconds']))}"
    else:
        text += f", {words(clause(execution.get('state'), 40))}"
    return f"{text}{_outcome(execution)}{cite(execution.get('proposal'), execution.get('id'))}."


def _outcome(execution: Mapping[str, Any]) -> str:
    check = execution.get("verification")
    if not isinstance(check, Mapping) or not check:
        return "; whether it helped has not been checked" if execution.get("state") == "done" else ""
    if not check.get("verdict"):
        due = f" before {when(check['due_at'])}" if check.get("due_at") else " yet"
        return f"; whether it helped is not known{due}"
    if check.get("statement"):
        return f"; {words(clause(check['verdict'], 40))}: {clause(check['statement'])}"
    text = f"; {words(clause(check['verdict'], 40))}"
    if check.get("after") is not None and check.get("before") is not None:
        text += f": {clause(check.get('metric'), 60)} before {number(check['before'])}, after {number(check['after'])}"
        text += interval(check) + (f" on {check['n']} rows" if check.get("n") is not None else "")
    return text


def verification(situation: Situation) -> Told:
    checked = [e for e in executions_of(situation) if isinstance(e.get("verification"), Mapping) and e["verification"]]
    return [done_line(e) for e in checked[:3]] or executions(situation)


def about(proposal: Mapping[str, Any], now: datetime) -> Told:
    """What a proposal does, how it stands, and why it was made."""
    lines = [head(proposal, now)]
    if proposal.get("why"):
        lines.append(f"Why: {clause(proposal['why'])}{cite(proposal.get('id'))}.")
    return lines


def head(proposal: Mapping[str, Any], now: datetime) -> str:
    if proposal.get("state") == "pending":
        return waiting_line(proposal, now)
    state = words(clause(proposal.get("state"), 40))
    model = clause(proposal.get("model"), 80)
    return f"{model}: to {_action(proposal)}: {state}{decided(proposal)}{cite(proposal.get('id'))}."


def decided(proposal: Mapping[str, Any]) -> str:
    """`, approved by ana on …` for each decision."""
    text = ""
    for d in proposal.get("decisions") or []:
        verb = "approved" if str(d.get("decision")).startswith("approve") else "rejected"
        text += f", {verb} by {clause(d.get('person'), 60)} on {when(d.get('at'))}{quoted(d.get('reason'))}"
    return text
