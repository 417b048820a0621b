"""What the tools would return of a made-up house with three models: the shapes of `tools.catalogue`, other numbers each."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tools.results import ToolResult, ok

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_MODELS = ("bike-demand", "heart-disease", "rainfall", "churn", "fraud_score", "eta-north", "credit.limit")
_FEATURES = ("temp", "humidity", "windspeed", "chol", "thalach", "dew_point", "visibility", "basket_value", "hr", "age",
             "plan", "country", "device_os", "trestbps")  # fmt: skip
_METRICS = (("mae", "lower"), ("rmse", "lower"), ("accuracy", "higher"), ("roc_auc", "higher"), ("f1", "higher"))
_CAUSES = ("data_pipeline_fault", "concept_drift_gradual", "concept_drift_sudden", "harmful_covariate_shift", "seasonal",
           "bad_deployment", "segment_shift")  # fmt: skip
_PEOPLE = ("ana", "ben", "rita", "omar", "chidi")


def iso(time: datetime) -> str:
    return time.isoformat()


def made_id(rng: random.Random, prefix: str) -> str:
    return f"{prefix}-" + "".join(rng.choice("0123456789abcdefghjkmnpqrstvwxyz") for _ in range(10))


@dataclass
class World:
    """Three models; the first is in trouble. `results` is what the tools returned of them."""

    rng: random.Random
    models: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)
    change: dict[str, Any] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    incident: dict[str, Any] = field(default_factory=dict)
    old: dict[str, Any] = field(default_factory=dict)
    diagnosis: dict[str, Any] = field(default_factory=dict)
    proposal: dict[str, Any] = field(default_factory=dict)
    decided: dict[str, Any] = field(default_factory=dict)
    execution: dict[str, Any] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)
    results: list[ToolResult] = field(default_factory=list)

    @property
    def sick(self) -> dict[str, Any]:
        return self.models[0]

    @property
    def well(self) -> dict[str, Any]:
        return self.models[1]


def _interval(rng: random.Random, value: float, wide: float = 0.06) -> tuple[float, float]:
    return value * (1 - wide * rng.uniform(0.4, 1)), value * (1 + wide * rng.uniform(0.4, 1))


def make_world(seed: int) -> World:
    rng = random.Random(seed)
    world = World(rng)
    metric, better = rng.choice(_METRICS)
    good, bad = (
        (rng.uniform(10, 30), rng.uniform(40, 90))
        if better == "lower"
        else (rng.uniform(0.85, 0.95), rng.uniform(0.55, 0.74))
    )
    limit = (good + bad) / 2
    incident, proposal = made_id(rng, "i"), made_id(rng, "p")
    for place, name in enumerate(rng.sample(_MODELS, 3)):
        kind, way = (metric, better) if place == 0 else rng.choice(_METRICS)
        value = bad if place == 0 else rng.uniform(12, 35) if way == "lower" else rng.uniform(0.78, 0.96)
        low, high = _interval(rng, value)
        world.models.append({
            "name": name, "task": "regression" if way == "lower" else "binary", "owner": f"#{name}",
            "state": "incident" if place == 0 else "healthy", "champion": str(place + 2), "metric": kind, "value": value,
            "low": low, "high": high, "threshold": limit if place == 0 else value * (1.4 if way == "lower" else 0.8),
            "n": rng.randint(120, 9000), "better": way, "window_start": iso(NOW - timedelta(days=7, hours=place)),
            "window_end": iso(NOW - timedelta(hours=place)), "last_look": iso(NOW - timedelta(hours=place, minutes=7)),
            "estimated": False, "open_incident": incident if place == 0 else None,
            "waiting_proposal": proposal if place == 0 else None, "frozen": False, "label_delay": f"{place + 2}d",
        })  # fmt: skip
    name = world.sick["name"]
    sizes = sorted((rng.uniform(0.3, 3.0) for _ in range(2)), reverse=True) + [
        rng.uniform(0.01, 0.15) for _ in range(3)
    ]
    for feature, size in zip(rng.sample(_FEATURES, 5), sizes, strict=True):
        world.drift.append({
            "feature": feature, "monitor": "drift.psi", "value": size, "threshold": 0.25,
            "status": "breach" if size > 0.25 else "ok", "n": rng.randint(500, 40000), "detail": "",
            "first_breach": iso(NOW - timedelta(days=rng.randint(8, 20))) if size > 0.25 else None,
        })  # fmt: skip
    for week in range(5):
        value = good + (bad - good) * week / 4
        low, high = _interval(rng, value, 0.04)
        world.points.append({
            "window_start": iso(NOW - timedelta(days=7 * (5 - week))), "window_end": iso(NOW - timedelta(days=7 * (4 - week))),
            "value": value, "low": low, "high": high, "n": rng.randint(120, 2000),
            "status": "breach" if (value > limit) == (better == "lower") else "ok",
        })  # fmt: skip
    low, high = sorted(((bad - good) * 0.8, (bad - good) * 1.2))
    world.change = {"before": good, "after": bad, "difference": bad - good, "low": low, "high": high}
    for number in (1, 2, 3):
        measured = good * rng.uniform(0.9, 1.1) if better == "lower" else rng.uniform(0.76, 0.97)
        world.versions.append({
            "version": str(number), "created_at": iso(NOW - timedelta(days=100 - 20 * number, hours=number)),
            "aliases": ["champion"] if number == 2 else [], "metrics": {metric: measured, "brier": rng.uniform(0.05, 0.4)},
            "data_version": f"{number}:1200", "parent": str(number - 1) if number > 1 else None, "proposal": None,
        })  # fmt: skip
    opened = NOW - timedelta(days=rng.randint(2, 6), hours=rng.randint(1, 20))
    top, second, third = rng.sample(_CAUSES, 3)
    sure = rng.uniform(0.62, 0.95)
    world.incident = {
        "id": incident, "model": name, "state": "waiting", "severity": "critical", "opened_at": iso(opened),
        "title": f"{metric} {bad:.3g} on {world.sick['n']} labelled rows", "resolved_at": None, "resolution": "",
        "cause": top, "probability": sure, "action": "retrain", "proposal": proposal,
    }  # fmt: skip
    closed = NOW - timedelta(days=rng.randint(30, 40))
    world.old = {
        "id": made_id(rng, "i"), "model": name, "state": "resolved", "severity": "warning",
        "opened_at": iso(closed - timedelta(days=3, hours=4)), "title": "an earlier fault", "resolved_at": iso(closed),
        "resolution": "It helped", "cause": second, "probability": rng.uniform(0.6, 0.9), "action": "rollback", "proposal": None,
    }  # fmt: skip
    feature = world.drift[0]["feature"]
    world.diagnosis = {
        "id": made_id(rng, "d"), "incident": incident, "model": name, "verdict": "incident",
        "causes": [
            {"cause": top, "probability": sure, "onset": iso(opened - timedelta(days=2)), "features": [feature],
             "segment": None, "supports": ["E1", "E2"], "contradicts": []},
            {"cause": second, "probability": (1 - sure) * 0.7, "onset": None, "features": [], "segment": None,
             "supports": ["E2"], "contradicts": ["E1"]},
            {"cause": third, "probability": (1 - sure) * 0.2, "onset": None, "features": [], "segment": None,
             "supports": [], "contradicts": ["E1"]},
        ],
        "action": {"kind": "retrain", "parameters": {}, "why": "retraining ranks better on recent rows"},
    }  # fmt: skip
    world.diagnosis["evidence"] = [
        {"id": f"{world.diagnosis['id']}/E1", "kind": "drift", "statement": f"{feature} moved: {world.drift[0]['value']:.3g}",
         "value": world.drift[0]["value"], "interval": None, "n": world.drift[0]["n"], "unit": "psi", "source": "drift.psi"},
        {"id": f"{world.diagnosis['id']}/E2", "kind": "loss", "statement": f"{metric} {bad:.3g}", "value": bad,
         "interval": [world.sick["low"], world.sick["high"]], "n": world.sick["n"], "unit": metric, "source": "performance"},
    ]  # fmt: skip
    after = good * 1.1 if better == "lower" else good * 0.97
    gain = abs(bad - after)
    world.trial = {"metric": metric, "better": better, "before": bad, "after": after, "difference": after - bad,
                   "low": min(after - bad + gain * s for s in (-0.2, 0.2)), "high": max(after - bad + gain * s for s in (-0.2, 0.2)),
                   "n": rng.randint(300, 4000), "note": ""}  # fmt: skip
    made = opened + timedelta(hours=5)
    world.proposal = {
        "id": proposal, "model": name, "action": {"kind": "retrain", "model": name}, "kind": "retrain", "risk": "high",
        "state": "pending", "why": "recent rows are ranked better", "trial": world.trial, "created_at": iso(made),
        "approve_by": iso(made + timedelta(days=2)), "requested_by": "watchkeeper", "decisions": [], "still_needed": 2,
        "may_decide": ["ana", "ben"], "execution": None, "verification": None,
    }  # fmt: skip
    done, person = made_id(rng, "p"), rng.choice(_PEOPLE)
    started = closed - timedelta(days=2)
    seconds = rng.uniform(9, 50)
    world.execution = {
        "id": made_id(rng, "x"), "proposal": done, "model": name, "kind": "rollback", "state": "done",
        "started_at": iso(started), "finished_at": iso(started + timedelta(seconds=seconds)), "seconds": seconds, "error": "",
        "steps": [{"name": "recheck", "state": "done"}, {"name": "switch", "state": "done"}],
        "verification": {"verdict": "succeeded", "metric": metric, "before": bad * 1.13, "after": good * 1.21, "low": None,
                         "high": None, "n": rng.randint(100, 900)},
    }  # fmt: skip
    world.decided = {
        "id": done, "model": name, "action": {"kind": "rollback", "model": name, "to_version": "1"}, "kind": "rollback",
        "risk": "medium", "state": "succeeded", "why": "version 1 did better", "trial": None,
        "created_at": iso(started - timedelta(hours=9)), "approve_by": iso(started + timedelta(hours=39)),
        "requested_by": "watchkeeper", "decisions": [{"person": person, "decision": "approve", "reason": "clear",
        "at": iso(started - timedelta(hours=1))}], "still_needed": 0, "may_decide": [], "execution": world.execution["id"],
        "verification": None,
    }  # fmt: skip
    breaches = sum(one["status"] == "breach" for one in world.drift)
    world.results = [
        ok({"models": world.models}, source="watchkeeper model list", evidence=(incident, proposal)),
        ok({"features": world.drift, "breaches": breaches, "checked": 5}, source=f"GET /api/v1/models/{name}/drift",
           window=(NOW - timedelta(days=7), NOW)),
        ok({"metric": metric, "better": better, "points": world.points, "change": world.change, "estimated": [], "slices": []},
           source=f"GET /api/v1/models/{name}/performance"),
        ok({"champion": "2", "versions": world.versions}, source=f"GET /api/v1/models/{name}/versions"),
        ok({"incidents": [world.incident, world.old]}, source=f"GET /api/v1/incidents?model={name}",
           evidence=(incident, world.old["id"])),
        ok(world.diagnosis, source=f"GET /api/v1/incidents/{incident}",
           evidence=(world.diagnosis["id"], f"{world.diagnosis['id']}/E1", f"{world.diagnosis['id']}/E2")),
        ok({"proposals": [world.proposal, world.decided]}, source="GET /api/v1/proposals", evidence=(proposal, done)),
        ok({"executions": [world.execution]}, source="GET /api/v1/executions", evidence=(world.execution["id"],)),
        ok(world.trial, source=f"what_if {name} retrain", n=world.trial["n"]),
    ]  # fmt: skip
    return world
