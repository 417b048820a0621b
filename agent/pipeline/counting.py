"""The state of the test that runs over all looks: kept with each look, and which labelled rows are new to it.

A row counts once, when its label has had its time. The log pins what a look saw (its data version and its time), so the
rows counted before are known exactly, whatever arrives late or is corrected, and however often the watch is restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline.profiles import LOOK_ROWS
from agent.pipeline.reference import Reference
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import MonitorRun
from ml.data.prediction_log import DataVersion
from ml.errors import NotFound
from ml.monitors import rise as rises
from ml.monitors.maturity import usual_delay
from ml.monitors.rise import Rise
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class LastLook:
    """What the look before this one left: its time, what the log held, until where labels counted, and the test."""

    at: datetime
    data: str
    until: datetime
    rise: Rise


def last_look(session: Session, model: str, before: datetime) -> LastLook | None:
    """The latest look before a time that left a state; None where there is none."""
    rows = session.scalars(
        select(MonitorRun)
        .where(MonitorRun.model == model, MonitorRun.window_end < before)
        .order_by(MonitorRun.window_end.desc())
        .limit(1)
    )
    run = rows.first()
    if run is None or "rise" not in run.state:
        return None
    state = run.state
    until = datetime.fromisoformat(state["until"])
    return LastLook(run.window_end, state["data"], until, Rise.from_json(state["rise"]))


def to_keep(rise: Rise | None, data: DataVersion, until: datetime) -> dict[str, Any]:
    """What a look leaves for the next one."""
    return {} if rise is None else {"rise": rise.to_json(), "data": str(data), "until": until.isoformat()}


def matured(spec: ModelSpec, reference: Reference, at: datetime) -> datetime:
    """Rows before this moment have had their time to be labelled."""
    return at - usual_delay(spec, reference.frame)


def state_of(
    session: Session, spec: ModelSpec, reference: Reference, champion: str | None, last: LastLook | None
) -> Rise | str:
    """The state to go on with, or a fresh one where the champion, the reference or the loss is another, or where an
    incident is over that the alarm was about (an alarm told harmless stands: triage asks again after a window)."""
    fresh = rises.begin(spec, reference.frame, champion)
    if isinstance(fresh, str) or last is None or last.rise.key != fresh.key:
        return fresh
    if last.rise.alarm is not None:
        since = datetime.fromisoformat(last.rise.alarm[1])
        if any(window.end >= since for window in queries.past_incident_windows(session, spec.name)):
            return fresh
    return last.rise


def uncounted(
    services: Services,
    session: Session,
    spec: ModelSpec,
    frame: pd.DataFrame,
    until: datetime,
    champion: str | None,
    last: LastLook | None,
) -> pd.DataFrame:
    """The labelled rows of `frame` from before `until` that no earlier look counted, answered since the champion is
    deployed."""
    ripe = frame[(frame["timestamp"] < until) & frame["label"].notna() & frame["prediction"].notna()]
    deployed = [entry["timestamp"] for entry in queries.deployments(session, spec.name) if entry["version"] == champion]
    if deployed:
        ripe = ripe[ripe["timestamp"] >= deployed[-1]]
    if last is None or ripe.empty:
        return ripe
    start = ripe["timestamp"].min().to_pydatetime()
    if start >= last.until:
        return ripe
    columns = ["prediction_id", "label", "label_timestamp"]
    span = Window(start, last.until)
    try:
        # Of fewer rows than `frame` is a part of: the part has all that it has.
        before = services.log.read(spec, span, as_of=last.at, columns=columns, version=last.data, most=LOOK_ROWS)
    except NotFound:  # the log no longer keeps that version: go by when each label became known
        known = (ripe["timestamp"] < last.until) & (ripe["label_timestamp"] <= last.at)
        return ripe[~known]
    counted = set(before.loc[before["label"].notna(), "prediction_id"])
    return ripe[~ripe["prediction_id"].isin(counted)]


def reach(mature: Window, until: datetime, spec: ModelSpec, last: LastLook | None) -> datetime:
    """How far back a look reads: a window before the rows that may count now, and to where the last look counted."""
    starts = [mature.start, until - spec.window]
    return min([*starts, last.until] if last is not None else starts)


def since(at: datetime, spec: ModelSpec, last: LastLook | None) -> timedelta:
    """The time that this look stands for."""
    return at - last.at if last is not None else spec.window
