"""Versions, what differs between them, which one answers, what went live, what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.conversation.offline.situation import Done, Situation
from agent.conversation.offline.tell.happened import executions, incidents_past
from agent.conversation.offline.tell.sentence import (
    MOST,
    Told,
    cite,
    clause,
    evidence,
    items,
    number,
    page,
    trouble,
    when,
)
from agent.domain.wording import DONE, words

_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


def _model(done: Done) -> str:
    return clause(done.call.arguments.get("model"), 80)


def versions(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("versions"):
        found = done.data.get("versions") or []
        if not done.ok or done.call.arguments.get("cursor"):
            continue
        asked = [v for v in found if str(v.get("version")) in situation.asked.versions]
        if situation.asked.versions and not asked:
            lines.append(f"{_model(done)} has no version {clause(situation.asked.versions[0], 40)}.")
        if not asked:
            champion = done.data.get("champion")
            answers = f"; version {clause(champion, 40)} answers" if champion else "; no version answers"
            lines.append(f"{_model(done)}: {len(found)} versions{answers}{_cited(done)}.")
        pages = [v for d in _of_model(situation, done) for v in d.data.get("versions") or []]
        shown, more = page(situation, asked or pages, "versions")
        lines += [_version_line(v, done) for v in shown] + more
    return lines + trouble(situation.of("versions"))


def _of_model(situation: Situation, done: Done) -> list[Done]:
    """Every page of the versions of one model."""
    same = [d for d in situation.of("versions") if d.call.arguments.get("model") == done.call.arguments.get("model")]
    return [d for d in same if not d.call.arguments.get("compare")]


def _cited(done: Done) -> str:
    return cite(*evidence(done)[:1])


def _version_line(v: Mapping[str, Any], done: Done) -> str:
    text = f"Version {clause(v.get('version'), 40)}: made {when(v.get('created_at'))}"
    aliases = [clause(a, 40) for a in v.get("aliases") or []]
    text += f", {', '.join(aliases)}" if aliases else ""
    metrics = v.get("metrics")
    if isinstance(metrics, Mapping) and metrics:
        some = [f"{clause(k, 60)} {number(m)}" for k, m in list(metrics.items())[:3]]
        text += f", {', '.join(some)}"
    text += f", from version {clause(v['parent'], 40)}" if v.get("parent") else ""
    return f"{text}{cite(v.get('proposal')) or _cited(done)}."


def compare_versions(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("versions"):
        pair = done.call.arguments.get("compare")
        if not pair or not done.ok:
            continue
        a, b = (clause(v, 40) for v in pair)
        found = [d for d in done.data.get("differences") or [] if isinstance(d, Mapping)]
        if not found:
            lines.append(
                f"{_model(done)}: nothing that is recorded differs between version {a} and version {b}{_cited(done)}."
            )
            continue
        lines.append(f"{_model(done)}: {len(found)} things differ between version {a} and version {b}{_cited(done)}.")
        for d in found[:12]:
            named = clause(d.get("what"), 80)  # `metrics.roc_auc` is a name, `created_at` is ours
            what = named.partition(".")[2] if "." in named else words(named)
            lines.append(
                f"{what}: {_value(d.get('a'))} in version {a}, {_value(d.get('b'))} in version {b}{_cited(done)}."
            )
    if not lines and not any(d.call.arguments.get("compare") for d in situation.of("versions")):
        told = trouble(situation.of("versions"))
        return told or ["There is one version only, so nothing to compare."]
    return lines + trouble(situation.of("versions"))


def _value(value: Any) -> str:
    if value is None or value in ([], ""):
        return "none"
    if isinstance(value, list):
        return ", ".join(clause(one, 60) for one in value)
    if isinstance(value, str) and _TIME.match(value):
        return when(value)
    return number(value) if isinstance(value, float) else clause(value, 120)


def champion(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("versions"):
        if not done.ok:
            continue
        live = done.data.get("champion")
        if not live:
            lines.append(f"{_model(done)}: no version answers{_cited(done)}.")
            continue
        made: Mapping[str, Any] = next(
            (v for v in done.data.get("versions") or [] if str(v.get("version")) == str(live)), {}
        )
        since = f", made {when(made['created_at'])}" if made.get("created_at") else ""
        lines.append(
            f"{_model(done)}: version {clause(live, 40)} answers{since}{cite(made.get('proposal')) or _cited(done)}."
        )
    return lines + trouble(situation.of("versions"))


def deployments(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("deployments"):
        if done.ok:
            lines += [_deployment_line(d, done) for d in (done.data.get("deployments") or [])[:MOST]]
            if not done.data.get("deployments"):
                lines.append(f"{_model(done)}: nothing went live in that time.")
    return lines + trouble(situation.of("deployments"))


def _deployment_line(d: Mapping[str, Any], done: Done) -> str:
    kind = str(d.get("kind"))
    note = f", “{clause(d['note'])}”" if d.get("note") else ""
    how = DONE.get(kind, words(clause(kind, 40)))
    return (
        f"{_model(done)}: version {clause(d.get('version'), 40)} went live on {when(d.get('at'))} ({how}{note})"
        f"{cite(d.get('proposal'))}."
    )


def what_changed(situation: Situation) -> Told:
    """What went live, what was carried out, what happened; and where nothing did."""
    lines = [
        _deployment_line(d, done)
        for done in situation.of("deployments")
        for d in (done.data.get("deployments") or [])[:MOST]
    ]
    if items(situation, "executions", "executions"):
        lines += executions(situation)
    if items(situation, "incidents", "incidents"):
        lines += incidents_past(situation)
    if lines:
        return lines
    failed = trouble(d for d in situation.done if d.document.get("status") == "error")
    since = f" since {when(situation.asked.since.isoformat())}" if situation.asked.since else ""
    return failed or [f"Nothing changed on record{since}: no deployment, no action, no incident."]
