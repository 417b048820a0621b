"""What would happen, what was filed, reports, and what I am and can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.sentence import (
    Told,
    cite,
    clause,
    evidence,
    interval,
    items,
    number,
    trouble,
    when,
)
from agent.domain.wording import DONE, names, words

FREEZE = (
    "I cannot stop or resume anything: a person does, with `watchkeeper freeze` (and `watchkeeper unfreeze`), or on "
    "the settings page of the console."
)


def what_if(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("what_if"):
        if not done.ok:
            continue
        data, action = done.data, str(done.call.arguments.get("action"))
        noun = "doing nothing" if action == "do_nothing" else DONE.get(action, action)
        version = f" to version {done.call.arguments['to_version']}" if done.call.arguments.get("to_version") else ""
        model, metric = clause(done.call.arguments.get("model"), 80), clause(data.get("metric"), 60)
        text = (
            f"{model}, {noun}{version}: {metric} before {number(data.get('before'))}, after {number(data.get('after'))}"
        )
        rows = data.get("n", done.document.get("n"))
        text += (
            f" on {rows} recent labelled rows, {clause(data.get('better'), 10)} is better" if rows is not None else ""
        )
        if data.get("difference") is not None:
            text += f"; difference {number(data['difference'])}"
            if data.get("low") is not None and data.get("high") is not None:
                text += f" ({number(data['low'])} to {number(data['high'])})"
                text += ", which may be chance" if float(data["low"]) <= 0 <= float(data["high"]) else ""
        lines.append(f"{text}{cite(*evidence(done)[:1])}.")
        if data.get("note"):
            lines.append(f"{clause(data['note'])}{cite(*evidence(done)[:1])}.")
    if lines:
        lines.append("It was tried in memory; nothing was changed.")
    return lines + trouble(situation.of("what_if")) + _errors_before(situation)


def _errors_before(situation: Situation) -> Told:
    """A rollback needs an earlier version."""
    if situation.of("what_if"):
        return []
    return trouble(situation.of("deployments")) or [
        "There is no earlier version that answered, so nothing to roll back to."
    ]


def filed(situation: Situation) -> Told:
    """The proposal that now waits for a person; or why there is none."""
    done = [d for d in situation.done if d.call.name.startswith("propose_")]
    lines: Told = []
    for one in done:
        made = one.data.get("proposal")
        if not one.ok or not isinstance(made, Mapping):
            reason = clause(one.document.get("message"), 600) or "no reason was given"
            lines.append(f"That could not be proposed: {reason}.")
            continue
        kind, model = words(clause(made.get("kind"), 40)), clause(one.call.arguments.get("model"), 80)
        text = (
            f"I have proposed to {kind} {model}"
            if kind in ("retrain", "recalibrate", "silence")
            else f"I have proposed for {model}: {kind}"
        )
        text += _exactly(one.call.arguments)
        lines.append(
            f"{text}; risk {clause(made.get('risk'), 20)}, until {when(made.get('approve_by'))}{cite(made.get('id'))}."
        )
        lines.append(
            f"Nothing happens before a person decides: `watchkeeper approve {made.get('id')}`{cite(made.get('id'))}."
        )
    return lines or trouble(situation.done)


def _exactly(arguments: Mapping[str, Any]) -> str:
    text = f", version {arguments['to_version']}" if arguments.get("to_version") else ""
    text += f", {clause(arguments['feature'], 60)}" if arguments.get("feature") else ""
    text += f", {names([clause(f, 60) for f in arguments['features']])}" if arguments.get("features") else ""
    text += f", {clause(arguments['monitor'], 60)}" if arguments.get("monitor") else ""
    text += f", from {when(arguments['since'])}" if arguments.get("since") else ""
    return text + (f", until {when(arguments['until'])}" if arguments.get("until") else "")


def report(situation: Situation) -> Told:
    """The figures of the period, then each model's."""
    lines: Told = []
    for done in situation.of("reports"):
        if not done.ok:
            continue
        facts: Mapping[str, Any] = done.data.get("facts") or {}
        said = [f"{v} {words(k)}" for k, v in facts.items() if isinstance(v, int) and not isinstance(v, bool)]
        model = done.call.arguments.get("model")
        about = f"{clause(model, 80)}, the" if model else "The"
        period, told = _period(done.call.arguments.get("period")), ", ".join(said) or "no figures"
        lines.append(f"{about} last {period}: {told}.")
        lines += [_model_line(m) for m in done.data.get("models") or []]
    if lines:
        lines.append("The whole report: `watchkeeper report`.")
    return lines + trouble(situation.of("reports"))


def _period(value: Any) -> str:
    days = str(value or "7d").removesuffix("d")
    return "24 hours" if days == "1" else f"{days} days"


def _model_line(m: Mapping[str, Any]) -> str:
    first, last = m.get("first") or {}, m.get("latest") or {}
    cited = cite(*[i.get("id") for i in (m.get("incidents") or [])][:3])
    text = f"{clause(m.get('name'), 80)}: "
    if last.get("value") is None:
        return f"{text}no data on {clause(m.get('metric'), 60)} in that time{cited}."
    text += f"{clause(m.get('metric'), 60)} {number(last['value'])}{interval(last)}"
    text += f", at first {number(first['value'])}" if first.get("value") is not None else ""
    return f"{text}{cited}."


def help_text(known: Sequence[str], state: Mapping[str, str] | None = None) -> Told:
    """What I can do, with examples that fit the workspace."""
    first = known[0] if known else "MODEL"
    examples = (
        "status", "what is wrong", f"why {first}", f"evidence for {first}", f"which features of {first} drifted",
        f"performance of {first} over time", f"compare versions of {first}", "what waits for me",
        f"what if we retrain {first}", "what did you do last week", f"retrain {first}",
    )  # fmt: skip
    there = (
        f" Models: {names(list(known), 12)}."
        if known
        else " There is no model under watch yet; add one with `watchkeeper model add SPEC.yaml`."
    )
    return [
        f"I answer from the records, for instance: {'; '.join(examples)}.{there}",
        "I change nothing: what I propose waits for a person, who decides with `watchkeeper approve` or `reject`.",
    ]


def help_told(situation: Situation) -> Told:
    return [*help_text(tuple(situation.known.models)), *_errors_of_models(situation)]


def _errors_of_models(situation: Situation) -> Told:
    return trouble(d for d in situation.of("models") if d.document.get("status") == "error")


def not_understood(situation: Situation) -> Told:
    return ["I did not understand that.", *help_told(situation)]


def outside(situation: Situation) -> Told:
    return [
        "That is not something I can answer: I know the models under watch here and their records.",
        *help_told(situation),
    ]


def greeting(situation: Situation) -> Told:
    waiting = [m for m in items(situation, "models", "models") if m.get("state") == "incident"]
    if waiting:
        listed = names([clause(m.get("name"), 60) for m in waiting])
        cited = cite(*[m.get("open_incident") for m in waiting if isinstance(m.get("open_incident"), str)])
        return [f"Hello. There is an open incident for {listed}{cited}; ask “what is wrong”."]
    return ["Hello. Ask me “status”, “what is wrong” or “help”."]


def thanks(situation: Situation) -> Told:
    return ["You are welcome."]


def who_are_you(situation: Situation) -> Told:
    return [
        "I am Watchkeeper, an on-call engineer for machine-learning models; right now I answer by rules from the "
        "records, without a language model.",
        "I watch, explain and propose; a person decides.",
    ]


def freeze(situation: Situation) -> Told:
    return [FREEZE]
