"""Answers as models write them, from a world: true ones with other digits, percent and units, and false ones.

Written from how people tell such things, not from how the check reads them.
"""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.agent.conversation.guard.worlds import NOW, World


@dataclass(frozen=True)
class Case:
    """An answer, whether it is true, and what kind of answer it is."""

    text: str
    true: bool
    shape: str
    lie: str = ""


def plain(value: float, rng: random.Random) -> str:
    """A value with some of its digits."""
    if abs(value) >= 1000:
        return rng.choice([f"{value:,.0f}", f"{value:.0f}", f"{value / 1000:.1f}k", f"about {round(value, -2):,.0f}"])
    if abs(value) >= 10:
        return rng.choice([f"{value:.1f}", f"{value:.2f}", f"{value:.0f}", f"{value:.3g}", f"about {value:.0f}"])
    if abs(value) >= 1:
        return rng.choice([f"{value:.2f}", f"{value:.1f}", f"{value:.3f}"])
    return rng.choice([f"{value:.2f}", f"{value:.3f}", f"{value:.4f}"])


def quality(value: float, rng: random.Random) -> str:
    """A metric: shares also as percent."""
    if 0 < value < 1 and rng.random() < 0.4:
        return rng.choice(
            [f"{100 * value:.0f} %", f"{100 * value:.1f} %", f"{100 * value:.1f}%", f"{100 * value:.1f} percent"]
        )
    return plain(value, rng)


def share(value: float, rng: random.Random) -> str:
    return rng.choice(
        [f"{100 * value:.0f} %", f"{100 * value:.1f} %", f"{100 * value:.0f}%", f"{100 * value:.0f} percent"]
    )


def whole(value: int, rng: random.Random) -> str:
    return rng.choice([str(value), f"{value:,}", f"{value:,}".replace(",", " ")] if value > 999 else [str(value)])


def date(text: str, rng: random.Random) -> str:
    at = datetime.fromisoformat(text)
    return rng.choice(
        [f"{at:%Y-%m-%d}", f"{at:%Y-%m-%d %H:%M} UTC", f"{at.day} {at:%B %Y}", f"{at:%B} {at.day}", f"{at:%b} {at.day}, {at:%Y}",
         f"{at.day} {at:%b} at {at:%H:%M}", f"{at:%Y-%m-%dT%H:%M:%SZ}"]
    )  # fmt: skip


def other_date(text: str, rng: random.Random) -> str:
    return date(
        (
            datetime.fromisoformat(text) - timedelta(days=rng.randint(57, 90), hours=rng.randint(1, 9), minutes=13)
        ).isoformat(),
        rng,
    )


def spoken(metric: str, rng: random.Random) -> str:
    return rng.choice({"mae": ["MAE", "mae", "mean absolute error"], "roc_auc": ["ROC AUC", "AUC", "roc_auc"],
                       "f1": ["F1", "f1 score"]}.get(metric, [metric, metric.upper() if metric == "rmse" else metric]))  # fmt: skip


def cause(name: str) -> str:
    kind = name.removeprefix("concept_drift_")
    return f"{kind} concept drift" if kind != name else name.replace("_", " ")


def invented(value: float, rng: random.Random) -> float:
    """A number that is nowhere: clearly another one of the same size."""
    made = value * rng.choice([0.37, 0.61, 0.71, 1.37, 1.63]) * rng.uniform(0.99, 1.01)
    return made if not 0 < value < 1 else min(max(made, 0.013), 0.987) if abs(made - value) > 0.04 else value * 0.55


Shape = Callable[[World, random.Random, str], str]


def _pick(lie: str, true: Any, misquoted: Any, made: Any) -> Any:
    return {"": true, "misquote": misquoted, "invent": made}.get(lie, true)


def one_metric(w: World, rng: random.Random, lie: str) -> str:
    m, others = w.sick, [w.sick["threshold"], w.points[1]["value"], w.points[0]["value"]]
    value = quality(
        _pick(
            lie,
            m["value"],
            next(o for o in [*others, 1.0] if abs(o / m["value"] - 1) > 0.05),
            invented(m["value"], rng),
        ),
        rng,
    )
    name = spoken(m["metric"], rng)
    return rng.choice([
        f"The {name} of {m['name']} is {value} [{w.incident['id']}].", f"{m['name']} stands at a {name} of {value} now.",
        f"At the last look, {m['name']} had {name} {value}.", f"Right now the {name} for `{m['name']}` is {value}, measured on labelled rows.",
        f"{m['name']}: {name} {value}.",
    ])  # fmt: skip


def with_interval(w: World, rng: random.Random, lie: str) -> str:
    m, o = w.well, w.models[2]
    low, high = _pick(lie, (m["low"], m["high"]), (o["low"], o["high"]) if abs(o["low"] / m["low"] - 1) > 0.03 else (w.sick["low"], w.sick["high"]),
                      (m["low"] * 0.8, m["high"] * 0.89))  # fmt: skip
    form = rng.choice([lambda v: f"{v:.3f}", lambda v: f"{v:.4g}", lambda v: f"{v:.3g}"])
    pair = rng.choice([f"({form(low)} to {form(high)})", f"(95 % interval {form(low)} to {form(high)})", f"[{form(low)}, {form(high)}]",
                       f", between {form(low)} and {form(high)}", f"({form(low)}–{form(high)})"])  # fmt: skip
    n = whole(m["n"], rng)
    return rng.choice([f"{m['name']} is healthy: {m['metric']} {form(m['value'])} {pair} on {n} rows.",
                       f"On {n} labelled rows, {m['name']} reaches {m['metric']} {form(m['value'])} {pair}."])  # fmt: skip


def rows_of(w: World, rng: random.Random, lie: str) -> str:
    m, value = w.well, quality(w.well["value"], rng)
    n = whole(_pick(lie, m["n"], w.models[2]["n"], int(m["n"] * 1.7) + 11), rng)
    return rng.choice([f"{m['name']} has {spoken(m['metric'], rng)} {value} on {n} labelled rows.",
                       f"For {m['name']} I looked at {n} labelled rows: {m['metric']} {value}."])  # fmt: skip


def one_drift(w: World, rng: random.Random, lie: str) -> str:
    f, g = w.drift[0], w.drift[1]
    value = plain(_pick(lie, f["value"], g["value"], invented(f["value"], rng)), rng)
    if lie == "misquote" and abs(f["value"] / g["value"] - 1) < 0.12:
        value = plain(w.drift[2]["value"], rng)
    return rng.choice([
        f"The strongest drift is in {f['feature']}, with a PSI of {value}.", f"`{f['feature']}` moved by {value} (psi).",
        f"PSI is {value} for {f['feature']}, well above the threshold of 0.25.", f"In {w.sick['name']}, {f['feature']} drifted: {value} against a limit of 0.25.",
        f"{f['feature']} drifted (psi {value} on {whole(f['n'], rng)} rows).",
    ])  # fmt: skip


def two_drifts(w: World, rng: random.Random, lie: str) -> str:
    f, g = w.drift[0], w.drift[1]
    a, b = _pick(lie, (f["value"], g["value"]), (g["value"], f["value"]), (f["value"], invented(g["value"], rng)))
    if lie == "misquote" and abs(f["value"] / g["value"] - 1) < 0.12:
        b = w.drift[3]["value"]
    a, b = f"{a:.3f}", f"{b:.3f}"
    return rng.choice([
        f"{f['feature']} has a psi of {a} and {g['feature']} one of {b}.", f"Two features moved: {f['feature']} ({a}) and {g['feature']} ({b}).",
        f"{f['feature']} and {g['feature']} drifted, by {a} and {b} respectively.", f"Drift: {a} in {f['feature']}, {b} in {g['feature']}.",
        f"| feature | psi |\n|---|---|\n| {f['feature']} | {a} |\n| {g['feature']} | {b} |",
    ])  # fmt: skip


def went_from_to(w: World, rng: random.Random, lie: str) -> str:
    a, b = w.change["before"], w.change["after"]
    name, m = spoken(w.sick["metric"], rng), w.sick["name"]
    rose = b > a
    if lie == "contradict":
        rose = not rose
    verb = rng.choice(
        ["rose", "climbed", "went up", "increased"] if rose else ["fell", "dropped", "went down", "declined"]
    )
    x, y = _pick(lie, (a, b), (b, a), (a, invented(b, rng)))
    if lie == "misquote":
        verb = "went"
    x, y = quality(x, rng).removeprefix("about "), quality(y, rng).removeprefix("about ")
    return rng.choice([f"The {name} of {m} {verb} from {x} to {y}.", f"{m}'s {name} {verb} from {x} to {y} over the last weeks [{w.incident['id']}].",
                       f"Since the incident began, {name} on {m} {verb} from {x} to {y}."])  # fmt: skip


def changed_by(w: World, rng: random.Random, lie: str) -> str:
    d = w.change["difference"]
    up = (d > 0) is not (lie == "contradict")
    size = abs(
        _pick(
            lie,
            d,
            w.trial["difference"] if abs(abs(w.trial["difference"] / d) - 1) > 0.05 else d * 2.3,
            invented(abs(d) * 1.01, rng),
        )
    )
    if abs(d) < 1 and rng.random() < 0.5:
        said = f"{100 * size:.1f} points"
    else:
        said = f"{size:.3g}"
    name, m = spoken(w.sick["metric"], rng), w.sick["name"]
    return rng.choice([f"The {name} of {m} {'rose' if up else 'fell'} by {said}.", f"{m} is {'up' if up else 'down'} {said} in {name} against before.",
                       f"{name} on {m} {'increased' if up else 'decreased'} by {said}."])  # fmt: skip


def of_versions(w: World, rng: random.Random, lie: str) -> str:
    a, b = w.versions[0], w.versions[2]
    metric = w.sick["metric"]
    x, y = f"{a['metrics'][metric]:.4g}", f"{b['metrics'][metric]:.4g}"
    if lie == "misquote":
        x, y = (y, x) if x != y else (f"{w.versions[1]['metrics'][metric] * 1.003:.4g}", y)
    elif lie == "invent":
        y = f"{invented(b['metrics'][metric], rng):.4g}"
    return rng.choice([f"Version 1 has {metric} {x}, version 3 {y}.", f"Of {w.sick['name']}, v1 scored {x} and v3 scored {y} in {metric}.",
                       f"{metric} was {x} for version 1 and {y} for version 3."])  # fmt: skip


def sure_of(w: World, rng: random.Random, lie: str) -> str:
    first, second = w.diagnosis["causes"][:2]
    sure = share(_pick(lie, first["probability"], second["probability"], invented(first["probability"], rng)), rng)
    return rng.choice([
        f"The most likely cause is {cause(first['cause'])} in {first['features'][0]}, {sure} sure [{w.diagnosis['id']}/E1].",
        f"{w.sick['name']}: {cause(first['cause'])}, {sure} sure [E1, E2]; opened {date(w.incident['opened_at'], rng)} [{w.incident['id']}].",
        f"I am {sure} confident that it is {cause(first['cause'])}.", f"The diagnosis says {cause(first['cause'])} with a probability of {sure} [{w.diagnosis['id']}].",
    ])  # fmt: skip


def leading_cause(w: World, rng: random.Random, lie: str) -> str:
    first, second = w.diagnosis["causes"][:2]
    name = cause(second["cause"] if lie == "contradict" else first["cause"])
    return rng.choice(
        [
            f"The most likely cause is {name} [{w.diagnosis['id']}].",
            f"This was probably caused by {name}.",
            f"The diagnosis is {name}.",
        ]
    )


def opened_at(w: World, rng: random.Random, lie: str) -> str:
    when = _pick(
        lie, date(w.incident["opened_at"], rng), date(w.old["opened_at"], rng), other_date(w.incident["opened_at"], rng)
    )
    i = w.incident
    return rng.choice([f"The incident {i['id']} of {i['model']} was opened on {when}.", f"{i['model']} has an open incident since {when} [{i['id']}].",
                       f"It was opened {when} and is still unresolved [{i['id']}]."])  # fmt: skip


def lasted(w: World, rng: random.Random, lie: str) -> str:
    span = datetime.fromisoformat(w.old["resolved_at"]) - datetime.fromisoformat(w.old["opened_at"])
    hours = span.total_seconds() / 3600 * _pick(lie, 1, 2.9, 0.31)
    said = rng.choice([f"{hours:.0f} hours", f"{hours / 24:.1f} days", f"{int(hours // 24)} d {int(hours % 24)} h"])
    return rng.choice(
        [f"The earlier incident [{w.old['id']}] took {said} from opening to closing.", f"{w.old['id']} lasted {said}."]
    )


def took(w: World, rng: random.Random, lie: str) -> str:
    s = _pick(lie, w.execution["seconds"], w.execution["seconds"] + 71, invented(w.execution["seconds"], rng))
    said = rng.choice([f"{s:.1f} s", f"{s:.0f} seconds", f"{s:.2f} s", f"{1000 * s:,.0f} ms"])
    return rng.choice(
        [f"The rollback was carried out in {said} [{w.execution['id']}].", f"Executing {w.decided['id']} took {said}."]
    )


def counted(w: World, rng: random.Random, lie: str) -> str:
    breaches = 2 if lie != "invent" else rng.choice([3, 4])
    words = {2: "Two", 3: "Three", 4: "Four"}[breaches]
    if lie == "misquote":
        return rng.choice(
            ["There are 2 open incidents.", "3 models have an open incident.", "Two proposals are pending."]
        )
    return rng.choice([f"{words} of 5 features drifted.", f"{breaches} of the 5 checked features are beyond their threshold.",
                       f"{words} features drifted in {w.sick['name']}."])  # fmt: skip


def standing(w: World, rng: random.Random, lie: str) -> str:
    s, h, p, q, old = w.sick["name"], w.well["name"], w.proposal, w.decided, w.old
    person = q["decisions"][0]["person"]
    stranger = next(name for name in ("zoe", "ivan") if name != person)
    pairs = [
        (f"{h} is healthy and has no open incident.", f"{s} is healthy and has no open incident."),
        (f"{s} has an open incident [{w.incident['id']}].", f"{h} has an open incident."),
        (f"The proposal {p['id']} is still pending.", f"The proposal {p['id']} was approved."),
        (f"Proposal {q['id']} was approved by {person}.", f"Proposal {q['id']} was approved by {stranger}."),
        (f"{old['id']} is resolved.", f"{w.incident['id']} is resolved."),
        (f"A high-risk retraining waits for approval [{p['id']}].", f"A low-risk retraining waits for approval [{p['id']}]."),
        (f"I propose to retrain {s} [{p['id']}].", f"I propose to roll back {s} [{p['id']}]."),
        (f"The rollback {q['id']} succeeded.", f"The rollback {q['id']} was rejected."),
        (f"Version 2 is the champion of {s}.", f"Version 3 is the champion of {s}."),
        (f"{w.drift[0]['feature']} drifted more than {w.drift[1]['feature']}.", f"{w.drift[1]['feature']} drifted more than {w.drift[0]['feature']}."),
        (f"The strongest drift is in {w.drift[0]['feature']}.", f"The strongest drift is in {w.drift[3]['feature']}."),
        (f"{w.drift[2]['feature']} is within its threshold.", f"{w.drift[0]['feature']} is within its threshold."),
        (f"The change in {w.sick['metric']} of {s} is significant.", f"The change in {w.sick['metric']} of {s} is not significant."),
        (f"{s} got worse: its {w.sick['metric']} is beyond the threshold.", f"{s} improved in {w.sick['metric']}."),
        ("The critical incident is still open.", f"The incident {w.incident['id']} has severity warning."),
    ]  # fmt: skip
    return rng.choice(pairs)[lie == "contradict"]


def what_if(w: World, rng: random.Random, lie: str) -> str:
    t = w.trial
    a, b = _pick(lie, (t["before"], t["after"]), (t["after"], t["before"]), (t["before"], invented(t["after"], rng)))
    x, y = (quality(v, rng).removeprefix("about ") for v in (a, b))
    verb = (
        "bring"
        if lie == "misquote"
        else ("lower" if t["after"] < t["before"] else "raise")
        if lie != "contradict"
        else ("raise" if t["after"] < t["before"] else "lower")
    )
    n = whole(t["n"], rng)
    return rng.choice([f"A trial on {n} rows says that retraining would {verb} the {spoken(t['metric'], rng)} from {x} to {y}.",
                       f"Retraining would {verb} {t['metric']} from {x} to {y} ({n} labelled rows)."])  # fmt: skip


def threshold_of(w: World, rng: random.Random, lie: str) -> str:
    m = w.sick
    limit = quality(_pick(lie, m["threshold"], w.points[0]["value"], invented(m["threshold"], rng)), rng)
    return rng.choice([f"The threshold for {m['name']} is {limit}.", f"{m['name']} is beyond its threshold of {limit}.",
                       f"{m['name']} has {m['metric']} {m['value']:.3f}; the threshold is {limit}."])  # fmt: skip


def until(w: World, rng: random.Random, lie: str) -> str:
    when = _pick(
        lie,
        date(w.proposal["approve_by"], rng),
        date(w.old["resolved_at"], rng),
        other_date(w.proposal["approve_by"], rng),
    )
    return rng.choice([f"{w.sick['name']}: to retrain; risk high, until {when} [{w.proposal['id']}].", f"Please decide by {when} [{w.proposal['id']}].",
                       f"The proposal {w.proposal['id']} expires {when}."])  # fmt: skip


def unknown_name(w: World, rng: random.Random, lie: str) -> str:
    true = rng.choice(
        [
            f"There is drift in {w.drift[0]['feature']}.",
            f"The model {w.well['name']} is fine.",
            f"See {w.incident['id']}.",
            "Version 1 was trained first.",
        ]
    )
    made = rng.choice(
        [
            "There is drift in barometer_reading.",
            "The model fraud-eu-west is fine.",
            "See [i-zzzz9999aa].",
            "Version 17 was trained first.",
        ]
    )
    return made if lie else true


SHAPES: dict[str, tuple[Shape, tuple[str, ...]]] = {
    "one metric": (one_metric, ("misquote", "invent")), "interval": (with_interval, ("misquote", "invent")),
    "rows": (rows_of, ("misquote", "invent")), "one drift": (one_drift, ("misquote", "invent")),
    "two drifts": (two_drifts, ("misquote", "invent")), "from to": (went_from_to, ("misquote", "invent", "contradict")),
    "changed by": (changed_by, ("misquote", "invent", "contradict")), "versions": (of_versions, ("misquote", "invent")),
    "sure": (sure_of, ("misquote", "invent")), "cause": (leading_cause, ("contradict",)),
    "opened": (opened_at, ("misquote", "invent")), "lasted": (lasted, ("misquote", "invent")), "took": (took, ("misquote", "invent")),
    "counted": (counted, ("misquote", "invent")), "standing": (standing, ("contradict",)),
    "what if": (what_if, ("misquote", "invent", "contradict")), "threshold": (threshold_of, ("misquote", "invent")),
    "until": (until, ("misquote", "invent")), "name": (unknown_name, ("invent",)),
}  # fmt: skip


def cases(world: World, rng: random.Random, *, true: bool) -> list[Case]:
    """One answer of each shape."""
    found = []
    for name, (shape, lies) in SHAPES.items():
        lie = "" if true else rng.choice(lies)
        found.append(Case(shape(world, rng, lie), true, name, lie))
    return found


__all__ = ["NOW", "SHAPES", "Case", "cases"]
