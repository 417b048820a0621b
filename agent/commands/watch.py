"""`watch`: one turn of the loop, by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent.commands.output import console, number, styled, table, when
from agent.domain.deciding import When
from agent.domain.errors import InvalidInput, NotFound
from agent.domain.proposal import ProposalState
from agent.executor import run_ready
from agent.pipeline.notify import deliver_due
from agent.pipeline.release import start_of
from agent.pipeline.services import Services
from agent.pipeline.watch import Turn, watch
from agent.scheduler import worker_name
from agent.store import queries
from ml.results import Status, utc
from ml.spec import AlertRule, ModelSpec, format_duration


def parse_time(text: str | None, default: datetime) -> datetime:
    """A time as a person writes it; UTC where it has no zone. Raises: InvalidInput."""
    if text is None:
        return default
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InvalidInput(f"--at {text!r} is not a time; write it like 2026-01-31T12:00 (UTC).") from None


def take_turns(services: Services, model: str | None, at: str | None) -> list[dict[str, Any]]:
    """One turn for a model, or for each; what was approved before is carried out first.

    Raises: InvalidInput where the model named has no predictions yet, or none anywhere near `--at`.
    """
    with services.store.read() as session:
        specs = queries.specs(session) if model is None else {model: queries.spec_of(session, model)}
    if not specs:
        raise NotFound("There is no model to watch yet; add one with `watchkeeper model add SPEC.yaml`.")
    now = services.now()
    moment = parse_time(at, now)
    if moment > max(now, services.wall()):
        raise InvalidInput(f"--at {at!r} is in the future, where nothing has been logged; give a time up to now (UTC).")
    missing = {name: _nothing_to_see(services, spec, moment, asked=at is not None) for name, spec in specs.items()}
    if model is not None and (reason := missing[model]):
        raise InvalidInput(reason)
    run_ready(services, worker=worker_name())
    waiting = {name: waits_to_start(services, name) for name in specs}
    turns = []
    for name, spec in specs.items():
        if reason := missing[name]:
            turns.append({**plain_turn(Turn(name, moment, looked=False)), "notes": [reason, *waiting[name]]})
        else:
            turn = watch(services, name, moment)
            turns.append({**plain_turn(turn), "notes": [*_notes(services, spec, turn), *waiting[name]]})
    deliver_due(services)
    return turns


def waits_to_start(services: Services, model: str) -> list[str]:
    """What is approved and held back, and by what: kill switch, freeze, hourly bound, cooldown."""
    with services.store.read() as session:
        approved = [row for row in queries.live_proposals(session, model) if row.state == ProposalState.APPROVED]
        starts = [(row, start_of(services, session, row)) for row in approved]
    return [
        f"Approved and held back: {row.kind} of {model} ({row.id}): {start.reason}."
        for row, start in starts
        if start.when is not When.NOW
    ]


def _nothing_to_see(services: Services, spec: ModelSpec, moment: datetime, *, asked: bool) -> str | None:
    """Why a look at `moment` would see nothing. A feed that has stopped is no such reason: that is an alarm."""
    span = services.log.span(spec)
    if span is None:
        return f"There are no predictions of {spec.name!r} yet; `watchkeeper ingest {spec.name} FILE` adds them."
    if moment <= span.start or (asked and span.end <= moment - spec.window):
        return (
            f"The {format_duration(spec.window)} before {when(moment)} UTC hold no predictions of {spec.name!r}: "
            f"its log goes from {when(span.start)} to {when(span.end)} UTC; give an --at in it."
        )
    return None


def _notes(services: Services, spec: ModelSpec, turn: Turn) -> list[str]:
    """What a person should know to read a turn."""
    if not turn.looked:
        return ["This window was looked at before, and each look is made once; give another --at to look again."]
    notes = []
    span = services.log.span(spec)
    if span is not None and span.end <= turn.at - spec.window:
        notes.append(f"The log ends at {when(span.end)} UTC; `watch {spec.name} --at TIME` looks at the past.")
    patient = {m.family for m in turn.measurements if m.status is Status.BREACH}
    rules = {family: getattr(spec.alerts, family, AlertRule()).hysteresis for family in sorted(patient)}
    waiting = [f"{family} {looks}" for family, looks in rules.items() if looks > 1]
    if waiting and turn.incident is None:
        notes.append(
            f"Noted, and not an alert yet: that takes breaches in several looks in a row ({', '.join(waiting)}; "
            "`alerts` in the spec)."
        )
    return notes


def plain_turn(turn: Turn) -> dict[str, Any]:
    """A turn as plain data."""
    return {
        "model": turn.model,
        "at": turn.at,
        "looked": turn.looked,
        "measurements": [
            {
                "monitor": m.monitor,
                "feature": m.feature,
                "segment": m.segment,
                "value": m.value,
                "interval": [m.interval.low, m.interval.high] if m.interval else None,
                "n": m.n,
                "unit": m.unit,
                "threshold": m.threshold,
                "status": str(m.status),
                "detail": m.detail,
            }
            for m in turn.measurements
        ],
        "incident": turn.incident
        and {"id": turn.incident.id, "state": turn.incident.state, "title": turn.incident.title},
        "diagnosis": turn.diagnosis and turn.diagnosis.document,
        "proposal": turn.proposal
        and {"id": turn.proposal.id, "action": turn.proposal.kind, "state": turn.proposal.state},
        "verified": turn.verified and {"id": turn.verified.id, "verdict": turn.verified.state},
    }


def render_turns(turns: list[dict[str, Any]]) -> None:
    for turn in turns:
        console.rule(f"[bold]{turn['model']}[/] at {when(turn['at'])} UTC", align="left", style="dim")
        if turn["looked"]:
            _measurements(turn["measurements"])
        for note in turn["notes"]:
            console.print(note, markup=False)
        if turn["verified"]:
            console.print(f"Verified {turn['verified']['id']}: {styled(turn['verified']['verdict'])}")
        if turn["incident"]:
            incident = turn["incident"]
            console.print(f"Incident [bold]{incident['id']}[/] {styled(incident['state'])}: {incident['title']}")
        if turn["diagnosis"]:
            cause, action = turn["diagnosis"]["causes"][0], turn["diagnosis"]["action"]
            console.print(f"Cause: {cause['cause'].replace('_', ' ')} ({cause['probability']:.0%}). {action['why']}")
        if turn["proposal"]:
            proposal = turn["proposal"]
            console.print(
                f"Proposed: [bold]{proposal['action']}[/]. Decide: watchkeeper proposal show {proposal['id']}"
            )


def _measurements(measurements: list[dict[str, Any]]) -> None:
    """What breached, and the rest in a line."""
    shown = [
        m for m in measurements if m["status"] == "breach" or m["monitor"].startswith(("performance.", "estimation."))
    ]
    if shown:
        rows = table("monitor", "column", "value", "threshold", "rows", "status")
        for m in shown:
            interval = f" [{number(m['interval'][0])}, {number(m['interval'][1])}]" if m["interval"] else ""
            rows.add_row(
                m["monitor"],
                m["feature"] or m["segment"] or "",
                number(m["value"]) + interval,
                number(m["threshold"]),
                str(m["n"]),
                styled(m["status"]),
            )
        console.print(rows)
    silent = sum(m["status"] == "no_data" for m in measurements)
    fine = sum(m["status"] == "ok" for m in measurements)
    console.print(f"{fine} measurements are fine, {silent} had no data.", style="dim")
