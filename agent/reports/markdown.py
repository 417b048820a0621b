"""Facts as Markdown, for a chat, a ticket or a repository; text from outside can form no link, heading or mention."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.domain.wording import moment, names, shown, visible, words
from agent.reports.charts import sparkline
from agent.reports.html import plain, point
from agent.reports.shape import Chart, DiagnosisFacts, IncidentFacts, PeriodFacts, ProposalFacts, Watched
from agent.reports.talk import told
from agent.reports.timeline import noun

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_LEADING = re.compile(r"^(\s*\d*)([-+=#.)])(?=\s|[-=#]|$)")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
TABLE_POINTS = 12


def escape(text: object, longest: int = 2000) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention, no HTML, one line.

    >>> print(escape("<b>[x](http://y)</b> *now*: 5 @all"), escape("1. x"), escape("1.5"))
    \\<b\\>\\[x\\](http\\://y)\\</b\\> \\*now\\*: 5 ＠all 1\\. x 1.5
    """
    flat = _SPECIAL.sub(r"\\\1", _MENTION.sub("＠", visible(text, longest)))
    return _LEADING.sub(r"\1\\\2", flat)


def markdown(facts: IncidentFacts | PeriodFacts) -> str:
    """The report."""
    lines = _incident(facts) if isinstance(facts, IncidentFacts) else _period(facts)
    return "\n".join(lines).rstrip() + "\n"


def _incident(facts: IncidentFacts) -> list[str]:
    out = [f"# {escape(facts.model.name)}: {escape(facts.title)}", ""]
    out += [f"Incident {facts.id} · **{words(facts.state)}** · {facts.severity} · report of {moment(facts.at)}", ""]
    out += [escape(facts.summary), ""]
    if facts.needs_you:
        out += ["## What needs you", "", *(f"- {escape(item)}" for item in facts.needs_you), ""]
    out += [*_numbers(facts), *_chart(facts.chart, facts.model.metric)]
    out += ["## What happened", "", *_diagnosis(facts.diagnosis)]
    if facts.alerts:
        rows = ([moment(a.first_seen), a.detail or a.monitor, a.severity, str(a.looks)] for a in facts.alerts)
        out += ["### Alerts", "", *_table(["first seen", "alert", "severity", "looks"], rows)]
    out += ["## What was decided", ""]
    for proposal in facts.proposals:
        out += _proposal(proposal)
    if not facts.proposals:
        why = f": {escape(facts.diagnosis.why)}" if facts.diagnosis and facts.diagnosis.why else "."
        out += [f"No action was proposed{why}", ""]
    told = ([moment(h.at), h.text + _again(h.times, moment(h.until)), h.actor] for h in facts.timeline if not h.minor)
    return [*out, "## Timeline", "", *_table(["when", "what", "who"], told)]


def _again(times: int, until: str) -> str:
    return f" (said {times} times, last {until})" if times > 1 else ""


def _numbers(facts: IncidentFacts) -> list[str]:
    effect, took, rows = facts.effect, facts.took, []
    if effect is not None:
        rows += [[f"{effect.name} before", point(effect.before)], ["at worst", point(effect.during)]]
        if effect.after is not None:
            rows.append(["after the action", shown(effect.after) + (f" on {effect.n} later rows" if effect.n else "")])
        if effect.do_nothing is not None:
            rows.append(["doing nothing, on the same rows", shown(effect.do_nothing)])
    named = {
        "time to detect": took.detect,
        "time to decide": took.decide,
        "time to carry out": took.execute,
        "time to recover": took.recover,
    }
    rows += [[name, span.text] for name, span in named.items() if span is not None]
    return _table(["", "" if effect is None else f"{effect.better} is better"], rows) if rows else []


def _chart(chart: Chart | None, metric: str) -> list[str]:
    if chart is None:
        return [f"There is no chart: no look had enough labelled rows to measure {metric or 'the metric'}.", ""]
    step = max(-(-len(chart.points) // TABLE_POINTS), 1)
    chosen = chart.points[::-1][::step][::-1]
    rows = (
        [moment(p.at), point(p), shown(p.threshold), "" if p.n is None else str(p.n), words(p.status)] for p in chosen
    )
    marks = [f"- **{m.key}** {escape(m.label)}, {moment(m.at)}" for m in chart.marks]
    head = f"{chart.metric} ({chart.better} is better), {chart.looks} looks: {sparkline(chart)}"
    table = _table(["window to", f"{chart.metric} (95 % interval)", "threshold", "rows", "state"], rows)
    return [head, "", *table, *marks, ""]


def _diagnosis(diagnosis: DiagnosisFacts | None) -> list[str]:
    if diagnosis is None or not diagnosis.causes:
        return ["This incident has not been diagnosed.", ""]
    lead = diagnosis.causes[0]
    text = f"**{words(lead.cause)}**, {lead.percent} %" + (f": {lead.meaning}" if lead.meaning else "") + "."
    text += f" Features: {escape(names(lead.features))}." if lead.features else ""
    text += f" Segment: {escape(lead.segment)}." if lead.segment else ""
    text += f" Since {moment(lead.onset)}." if lead.onset else ""
    out = [text, "", *([escape(diagnosis.why), ""] if diagnosis.why else [])]
    side = {**dict.fromkeys(lead.contradicts, "against"), **dict.fromkeys(lead.supports, "for")}
    rows = ([e.id, e.statement, side.get(e.id, ""), str(e.n or "")] for e in diagnosis.evidence)
    if diagnosis.evidence:
        out += ["### Evidence", "", *_table(["", "what was found", "for or against", "rows"], rows)]
    if diagnosis.causes[1:]:
        out += ["### Other causes considered", ""]
        out += [f"- {words(c.cause)}, {c.percent} %{_cited(c.supports, '; for')}" for c in diagnosis.causes[1:]]
        out.append("")
    for title, items in (("Ruled out", diagnosis.ruled_out), ("Not checked", diagnosis.not_checked)):
        if items:
            listed = [f"- {escape(words(i.what))}: {escape(i.why)}{_cited(i.evidence, '')}" for i in items]
            out += [f"### {title}", "", *listed, ""]
    return out


def _cited(ids: list[str], lead: str) -> str:
    return f"{lead} ({', '.join(escape(i) for i in ids)})" if ids else ""


def _proposal(p: ProposalFacts) -> list[str]:
    out = [f"### {noun(p.kind).capitalize()}: {words(p.state)}", "", f"To {escape(p.what)}.", ""]
    out += [f"- Why: {escape(p.why)}"] if p.why else []
    out += [f"- Proposal {p.id}, {moment(p.created_at)}, by {escape(p.requested_by)}"]
    out += [f"- Risk: {p.risk}; reaches {p.reach}. Undo: {p.undo}"]
    out += [
        f"- Parameters: {'; '.join(f'{words(key)}: {escape(plain(value))}' for key, value in p.parameters.items())}"
    ]
    out += [f"- Digest: `{p.digest}`"]
    if p.trial is not None:
        text = f"- Trial: {p.trial.metric} {shown(p.trial.before)} → {shown(p.trial.after)}"
        text += f" on {p.trial.n} recent labelled rows" if p.trial.n else ""
        if p.trial.gain is not None and p.trial.low is not None and p.trial.high is not None:
            clear = "loss of a row lower by" if p.trial.clear else "no clear gain in the loss of a row:"
            text += f"; {clear} {shown(p.trial.gain)} ({shown(p.trial.low)} to {shown(p.trial.high)})"
        out.append(text)
    for d in p.decisions:
        reason = f": “{escape(d.reason)}”" if d.reason else ""
        verb = "Approved" if d.decision == "approve" else "Rejected"
        out.append(f"- {verb} by {escape(d.person)}, {moment(d.at)}{reason}")
    if p.state == "pending":
        out.append(f"- Waits for a decision until {moment(p.approve_by)}")
    elif p.state in ("expired", "superseded", "withdrawn"):
        out.append(f"- {p.state.capitalize()}: {escape(p.reason or 'no reason recorded')}")
    if p.execution is not None:
        took = f" in {p.execution.took.text}" if p.execution.took else ""
        out.append(
            f"- Execution: {p.execution.state}{took}{': ' + escape(p.execution.error) if p.execution.error else ''}"
        )
    if p.verification is not None:
        said = f": {escape(p.verification.statement)}" if p.verification.statement else ""
        due = f"being watched, due {moment(p.verification.due_at)}"
        out.append(f"- Did it help? {'**' + p.verification.verdict + '**' + said if p.verification.verdict else due}")
    return [*out, ""]


def _period(facts: PeriodFacts) -> list[str]:
    out = [f"# Watch report{': ' + escape(facts.model) if facts.model else ''}", ""]
    out += [f"{moment(facts.start)} to {moment(facts.end)}", "", escape(facts.summary), ""]
    if facts.waiting:
        out += ["## What needs you", ""]
        out += [
            f"- **{escape(w.model)}**: {escape(w.what)} (risk {w.risk}), until {moment(w.approve_by)}: "
            f"`watchkeeper approve {w.id}`"
            for w in facts.waiting
        ]
        out.append("")
    for watched in facts.models:
        out += _watched(watched)
    if facts.talk is not None:
        out += ["## Conversation", "", escape(told(facts.talk)), ""]
    return out if facts.models else [*out, "There is no model yet. Add one with `watchkeeper model add SPEC.yaml`."]


def _watched(w: Watched) -> list[str]:
    out = [f"## {escape(w.model.name)}: {words(w.state)}", ""]
    if w.latest is not None:
        text = f"{w.model.metric} **{point(w.latest)}** on {w.latest.n} labelled rows, {moment(w.latest.at)}"
        out += [f"{text} ({w.better} is better)." + (f" {sparkline(w.chart)}" if w.chart else ""), ""]
    else:
        out += ["No performance figure in this time: no look had enough labelled rows.", ""]
    blind = f", without enough labels: {w.looks_without_data}" if w.looks_without_data else ""
    seen = f"; the latest on {moment(w.last_look)} over {w.rows} rows" if w.last_look else ""
    champion = f"; champion: version {escape(w.champion)}" if w.champion else ""
    out += [f"Looks: {w.looks}{blind}{seen}{champion}; alerts firing: {w.firing}.", ""]
    for i in w.incidents:
        cause = f" ({words(i.cause)}, {i.percent} %)" if i.cause else ""
        action = f"; {noun(i.action)}{': ' + words(i.proposal_state) if i.proposal_state else ''}" if i.action else ""
        ended = f". {escape(i.resolution)}" if i.resolution else ""
        out.append(f"- {moment(i.opened_at)}, {i.id}: {escape(i.title)}{cause}, {words(i.state)}{action}{ended}")
    out += [f"- {moment(d.at)}: version {escape(d.version)} went live ({noun(d.kind)})" for d in w.deployments]
    return [*out, ""]


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows), ""]
