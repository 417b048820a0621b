"""Measured numbers: drift, single features, performance, its trend and slices, what is estimated without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.conversation.offline.situation import Done, Situation
from agent.conversation.offline.tell.sentence import (
    MOST,
    Told,
    cite,
    clause,
    evidence,
    interval,
    number,
    page,
    trouble,
    when,
)


def _model(done: Done) -> str:
    return clause(done.call.arguments.get("model"), 80)


def drift(situation: Situation) -> Told:
    """The inputs that moved, strongest first; then how many were looked at."""
    lines: Told = []
    for done in situation.of("drift"):
        if not done.ok:
            continue
        found = done.data.get("features") or []
        moved = [f for f in found if f.get("status") == "breach"]
        checked, breaches = done.data.get("checked", len(found)), done.data.get("breaches", len(moved))
        lines.append(f"{_model(done)}: of {checked} inputs and answers, {breaches} drifted by their rule{_look(done)}.")
        shown, more = page(situation, moved or found[:3], "drift")
        lines += [_feature_line(f, done) for f in shown] + more
    return lines + trouble(situation.of("drift"))


def _look(done: Done) -> str:
    return cite(*evidence(done)[:1])


def _feature_line(f: Mapping[str, Any], done: Done) -> str:
    name = clause(f.get("feature"), 80) or "the answers"
    monitor = clause(f.get("monitor"), 60)
    if f.get("status") == "no_data" or f.get("value") is None:
        return f"{name}: {monitor} could not be measured{_detail(f)}{_look(done)}."
    text = f"{name}: {monitor} {number(f['value'])}"
    if f.get("threshold") is not None:
        breach, above = f.get("status") == "breach", f["value"] > f["threshold"]
        side = "beyond its threshold" if breach else "threshold" if above else "within its threshold"
        text += f", {side} {number(f['threshold'])}"
        text += f", no breach by its rule{_detail(f)}" if above and not breach else ""
    text += f", on {f['n']} rows" if f.get("n") is not None else ""
    text += f", first beyond it on {when(f['first_breach'])}" if f.get("first_breach") else ""
    return f"{text}{_look(done)}."


def _detail(f: Mapping[str, Any]) -> str:
    return f" ({clause(f['detail'], 160)})" if f.get("detail") else ""


def worst_feature(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("drift"):
        measured = [f for f in done.data.get("features") or [] if f.get("value") is not None and f.get("feature")]
        if measured:
            first = measured[0]
            lines.append(f"{_model(done)}: {clause(first.get('feature'), 80)} moved most{_look(done)}.")
            lines += [_feature_line(f, done) for f in measured[:3]]
        elif done.ok:
            lines.append(f"{_model(done)}: no feature has been measured{_look(done)}.")
    return lines + trouble(situation.of("drift"))


def drift_feature(situation: Situation) -> Told:
    wanted = situation.asked.features
    if not wanted:
        return drift(situation)
    lines: Told = []
    for done in situation.of("drift"):
        found = [f for f in done.data.get("features") or [] if f.get("feature") in wanted]
        lines += [f"{_model(done)}, {_feature_line(f, done)}" for f in found]
        if done.ok and not found:
            lines.append(f"{_model(done)}: drift of {clause(wanted[0], 80)} has not been measured{_look(done)}.")
    return lines + trouble(situation.of("drift"))


def series(situation: Situation) -> Told:
    """Each series: its latest value, the first one, and how many were beyond the threshold."""
    lines: Told = []
    for done in situation.of("measurements"):
        found = done.data.get("series") or []
        shown, more = page(situation, found, "measurements")
        lines += [_series_line(s, done) for s in shown] + more
        if done.ok and not found:
            lines.append(f"{_model(done)}: nothing has been measured for that.")
    return lines + trouble(situation.of("measurements")) if situation.of("measurements") else drift(situation)


def _series_line(s: Mapping[str, Any], done: Done) -> str:
    points: Sequence[Mapping[str, Any]] = s.get("points") or []
    known = sorted((p for p in points if p.get("value") is not None), key=lambda p: str(p.get("window_end")))
    about = f"{_model(done)}, {clause(s['feature'], 80)}" if s.get("feature") else _model(done)
    name = f"{about}: {clause(s.get('monitor'), 60)}"
    name += f" in {clause(s['segment'], 80)}" if s.get("segment") else ""
    if not known:
        return f"{name}: no data in {len(points)} looks{_look(done)}."
    last, first = known[-1], known[0]
    text = f"{name} {number(last['value'])}{interval(last)} on {last.get('n')} rows"
    text += f", window to {when(last.get('window_end'))}"
    if len(known) > 1:
        text += f"; at first {number(first['value'])}, window to {when(first.get('window_end'))}"
    breaches = sum(p.get("status") == "breach" for p in points)
    if s.get("threshold") is not None:
        text += f"; threshold {number(s['threshold'])}, passed in {breaches} of {len(points)} looks"
    return f"{text}{_look(done)}."


def performance(situation: Situation) -> Told:
    """The latest labelled figure, its change, and what is estimated where labels are missing."""
    lines: Told = []
    for done in situation.of("performance"):
        if done.ok:
            lines += [_latest(done), *_change(done)]
        else:
            lines += _estimates(done)[:1]
    return lines + trouble(situation.of("performance"))


def _points(done: Done) -> list[Mapping[str, Any]]:
    found = [p for p in done.data.get("points") or [] if p.get("value") is not None]
    return sorted(found, key=lambda p: str(p.get("window_end") or p.get("at")))


def _latest(done: Done) -> str:
    points, metric = _points(done), clause(done.data.get("metric"), 60)
    if not points:
        return f"{_model(done)}: no data on {metric}: no look had enough labelled rows{_look(done)}."
    last = points[-1]
    text = f"{_model(done)}: {metric} {number(last['value'])}{interval(last)} on {last.get('n')} labelled rows"
    text += (
        f", {clause(done.data.get('better'), 10)} is better, window to {when(last.get('window_end') or last.get('at'))}"
    )
    threshold = last.get("threshold", done.data.get("threshold"))
    if last.get("status") == "breach" and threshold is not None:
        text += f", beyond its threshold {number(threshold)}"
    return f"{text}{_look(done)}."


def _change(done: Done) -> Told:
    change = done.data.get("change")
    if not isinstance(change, Mapping) or change.get("difference") is None:
        return []
    up = float(change["difference"]) > 0
    direction = (
        "unchanged"
        if not change["difference"]
        else "better"
        if up == (done.data.get("better") == "higher")
        else "worse"
    )
    text = f"{_model(done)}: from {number(change.get('before'))} to {number(change.get('after'))}, {direction}"
    text += f"; difference {number(change['difference'])}{interval(change)}"
    if change.get("low") is not None and change.get("high") is not None:
        text += ", which may be chance" if float(change["low"]) <= 0 <= float(change["high"]) else ""
    return [f"{text}{_look(done)}."]


def _estimates(done: Done) -> Told:
    lines = []
    for e in done.data.get("estimated") or []:
        text = f"{_model(done)}: mean loss above its reference by {number(e['value'])}{interval(e)}"
        text += ", estimated without labels"
        text += f" on {e['n']} rows" if e.get("n") is not None else ""
        text += f", window to {when(e['window_end'])}" if e.get("window_end") else ""
        lines.append(f"{text}; an estimate may worry, it never reassures{_look(done)}.")
    return lines


def estimate(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("performance"):
        found = _estimates(done)
        lines += found[-1:] or (
            [f"{_model(done)}: nothing is estimated without labels{_look(done)}."] if done.ok else []
        )
    return lines + trouble(situation.of("performance"))


def trend(situation: Situation) -> Told:
    """From the first to the last look, with the change and its interval; some points between."""
    lines: Told = []
    for done in situation.of("performance"):
        if not done.ok:
            continue
        points = _points(done)
        lines += [_latest(done), *_change(done)]
        if len(points) > 2:
            step = max(len(points) // 6, 1)
            some = [*points[:-1][::step][:6], points[-1]]
            course = ", ".join(f"{number(p['value'])} ({str(p.get('window_end') or p.get('at'))[:10]})" for p in some)
            lines.append(f"Its course: {course}{_look(done)}.")
        elif len(points) == 1:
            lines.append(f"{_model(done)}: one look only, so there is no trend to tell yet{_look(done)}.")
    return lines + trouble(situation.of("performance"))


def slices(situation: Situation) -> Told:
    lines: Told = []
    for done in situation.of("performance"):
        if not done.ok:
            continue
        found = [s for s in done.data.get("slices") or [] if s.get("value") is not None]
        if not found:
            lines.append(f"{_model(done)}: no slice has been measured{_look(done)}.")
            continue
        lines.append(f"{_model(done)}: worst in {clause(found[0].get('segment'), 80)}{_look(done)}.")
        for s in found[:MOST]:
            text = f"{clause(s.get('segment'), 80)}: {clause(s.get('unit'), 80)} {number(s['value'])}{interval(s)}"
            text += f" on {s['n']} rows" if s.get("n") is not None else ""
            text += f"; overall {number(s['overall'])}" if s.get("overall") is not None else ""
            text += ", beyond its threshold" if s.get("status") == "breach" else ""
            lines.append(f"{text}{_look(done)}.")
    return lines + trouble(situation.of("performance"))
