"""How the models stand: status, what is wrong, who owns them, what they read, how fresh their labels are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.conversation.offline.situation import Situation
from agent.conversation.offline.tell.happened import incident_line, waiting_line
from agent.conversation.offline.tell.sentence import Told, cite, clause, interval, items, number, trouble, when
from agent.domain.wording import names


def status(situation: Situation) -> Told:
    """Each model in a line: its incident, or its latest figure, or that nothing is known; then what waits."""
    pending = [p for p in items(situation, "proposals", "proposals") if p.get("state") == "pending"]
    waiting = [waiting_line(p, situation.now) for p in pending]
    return [*wrong(situation), *waiting, *_frozen(situation)]


def wrong(situation: Situation) -> Told:
    """Every unresolved incident; where there is none, whether that is known or only not seen."""
    open_now = [i for i in items(situation, "incidents", "incidents") if i.get("state") != "resolved"]
    models = _models(situation)
    troubled = {str(i.get("model")) for i in open_now}
    lines = [incident_line(i) for i in open_now]
    lines += [quiet_line(m) for m in models if str(m.get("name")) not in troubled]
    if not models:
        lines += trouble(situation.of("models")) or ["There is no model under watch yet; nothing is known."]
    return lines + trouble(d for d in situation.of("incidents") if d.document.get("status") == "error")


def _models(situation: Situation) -> list[Mapping[str, Any]]:
    named = set(situation.asked.models)
    found: dict[str, Mapping[str, Any]] = {}
    for model in items(situation, "models", "models"):
        if not named or model.get("name") in named:
            known = found.get(str(model.get("name")), {})
            found[str(model.get("name"))] = {**known, **{k: v for k, v in model.items() if v is not None}}
    return list(found.values())


def quiet_line(model: Mapping[str, Any]) -> str:
    """A model without an incident: its latest figure, or that nothing is known."""
    name, ids = clause(model.get("name"), 80), _cited(model)
    if not model.get("last_look"):
        return f"{name}: never looked at, so nothing is known of it."
    if model.get("value") is None:
        rows = f"{model['n']} labelled rows" if model.get("n") is not None else "no labelled rows"
        seen = f"{rows} in the look of {when(model.get('last_look'))}"
        return f"{name}: no open incident, but no data to say how well it does ({seen}){cite(*ids)}."
    text = f"{name}: no open incident; {clause(model.get('metric'), 60)} {number(model['value'])}{interval(model)}"
    text += f" on {model.get('n')} labelled rows"
    if model.get("better"):
        text += f", {model['better']} is better"
    text += _beyond(model)
    return f"{text}; last look {when(model.get('last_look'))}{cite(*ids)}."


def _beyond(model: Mapping[str, Any]) -> str:
    """What a warning is about: the metric, else some other alert."""
    if model.get("state") != "warning":
        return ""
    value, threshold = model.get("value"), model.get("threshold")
    worse = value is not None and threshold is not None and (value < threshold) == (model.get("better") == "higher")
    return f", beyond its threshold {number(threshold)}" if worse else ", an alert is firing"


def _cited(model: Mapping[str, Any]) -> tuple[str, ...]:
    return (str(model["run"]),) if model.get("run") else ()


def _frozen(situation: Situation) -> Told:
    frozen = next((m["frozen"] for m in items(situation, "models", "models") if m.get("frozen")), None)
    if frozen is None:
        return []
    if isinstance(frozen, Mapping):
        by = f" by {clause(frozen.get('by'), 60)}" if frozen.get("by") else ""
        why = clause(frozen.get("reason")) or "no reason recorded"
        return [f"The kill switch is on{by}: {why}. Nothing is carried out."]
    why = f": {clause(frozen)}" if isinstance(frozen, str) else ""
    return [f"The kill switch is on{why}. Nothing is carried out."]


def frozen(situation: Situation) -> Told:
    told = _frozen(situation)
    if told:
        return told
    if not _models(situation):
        return trouble(situation.of("models")) or ["There is no model under watch yet."]
    return ["The kill switch is off: what a person approves is carried out. `watchkeeper freeze` turns it on."]


def list_models(situation: Situation) -> Told:
    found = _models(situation)
    if not found:
        return trouble(situation.of("models")) or [
            "There is no model under watch yet; add one with `watchkeeper model add SPEC.yaml`."
        ]
    lines = [f"{len(found)} {'model is' if len(found) == 1 else 'models are'} under watch."]
    for m in found:
        task, ids = clause(m.get("task"), 40) or "unknown task", cite(*_cited(m), m.get("open_incident"))
        version = f", version {clause(m['champion'], 40)} answers" if m.get("champion") else ", no version answers"
        lines.append(f"{clause(m.get('name'), 80)}: {task}{version}, {_state(m)}{ids}.")
    return lines


def _state(model: Mapping[str, Any]) -> str:
    said = {
        "incident": "an incident is open",
        "warning": "a warning",
        "no_data": "no data",
        "healthy": "no open incident",
    }
    return said.get(str(model.get("state")), clause(model.get("state"), 40))


def owner(situation: Situation) -> Told:
    return [
        f"{clause(m.get('name'), 80)} belongs to {clause(m['owner'], 80)}."
        if m.get("owner")
        else f"{clause(m.get('name'), 80)}: no owner is named in its spec; `owner:` in the file says who it is."
        for m in _models(situation)
    ] or trouble(situation.of("models"))


def features(situation: Situation) -> Told:
    lines: Told = []
    for m in _models(situation):
        found = [clause(f.get("name") if isinstance(f, Mapping) else f, 60) for f in m.get("features", [])]
        if found:
            lines.append(f"{clause(m.get('name'), 80)} reads {len(found)} features: {names(found, 40)}.")
        elif situation.asked.models:
            lines.append(f"{clause(m.get('name'), 80)}: its features are not known.")
    if not lines:
        told = trouble(situation.of("models"))
        listed = names([str(m.get("name")) for m in _models(situation)], 12)
        return told or [f"Which model do you mean: {listed}?"]
    return lines


def thresholds(situation: Situation) -> Told:
    lines: Told = []
    for m in _models(situation):
        text = f"{clause(m.get('name'), 80)}: "
        limit = (
            f"{clause(m.get('metric'), 60)} counts as a breach beyond {number(m['threshold'])}"
            if m.get("threshold") is not None
            else ""
        )
        tolerance = f"a worsening of {_plain(m['tolerance'])} is tolerated" if m.get("tolerance") is not None else ""
        said = "; ".join(part for part in (limit, tolerance) if part)
        lines.append(text + (said or "no threshold has been measured against yet") + f"{cite(*_cited(m))}.")
    return lines or trouble(situation.of("models"))


def _plain(value: Any) -> str:
    return number(value) if isinstance(value, (int, float)) else clause(value, 60)


def freshness(situation: Situation) -> Told:
    lines: Told = []
    for m in _models(situation):
        text = f"{clause(m.get('name'), 80)}: "
        parts = []
        if m.get("label_delay") is not None:
            parts.append(f"labels become known {clause(m['label_delay'], 40)} after the prediction")
        if m.get("last_look"):
            parts.append(f"last look {when(m['last_look'])}")
        else:
            parts.append("never looked at")
        if m.get("n") is not None:
            parts.append(f"{m['n']} labelled rows in it")
        lines.append(f"{text}{', '.join(parts)}{cite(*_cited(m))}.")
    return lines or trouble(situation.of("models"))


def volume(situation: Situation) -> Told:
    lines: Told = []
    for m in _models(situation):
        rows = m.get("rows", m.get("n"))
        if rows is None or not m.get("last_look"):
            lines.append(f"{clause(m.get('name'), 80)}: no data on how much it answered.")
            continue
        what = "rows" if m.get("rows") is not None else "labelled rows"
        lines.append(
            f"{clause(m.get('name'), 80)}: {rows} {what} in the look of {when(m['last_look'])}{cite(*_cited(m))}."
        )
    return lines or trouble(situation.of("models"))
