"""What a model is compared with: its reference, and its own healthy past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from agent.pipeline.profiles import LOOK_ROWS
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Model
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

HISTORY_WINDOWS = 12
REFERENCE_ROWS = 300
"""Rows of the log's beginning that stand in for a reference where there is neither a hold-out nor a chosen window."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows known to be healthy, and where they come from."""

    frame: pd.DataFrame
    source: str


def reference_of(
    services: Services, session: Session, spec: ModelSpec, champion: str | None, before: datetime
) -> Reference:
    """The rows a model is compared with: the chosen window, else the champion's hold-out, else the log's beginning.

    The frame is empty when the log has nothing before `before`.
    """
    row = session.get(Model, spec.name)
    if row is not None and row.reference_start is not None and row.reference_end is not None:
        window = Window(row.reference_start, row.reference_end)
        return Reference(services.log.read(spec, window, as_of=before, most=LOOK_ROWS), f"log, {window}")
    if champion is not None:
        held_out = services.registry.reference(spec.name, champion)
        if held_out is not None:
            return Reference(held_out, f"hold-out of version {champion}")
    return _beginning(services, spec, before)


def _beginning(services: Services, spec: ModelSpec, before: datetime) -> Reference:
    """The first windows of the log, as many as it takes to have enough rows, at most half of what there is."""
    span = services.log.span(spec)
    empty = Window.before(before, spec.window)
    if span is None or span.start >= before:
        return Reference(services.log.read(spec, empty, as_of=before).iloc[0:0], "empty log")
    latest = span.start + (min(span.end, before) - span.start) / 2
    end, frame = span.start, None
    while frame is None or (len(frame) < REFERENCE_ROWS and end < latest):
        end = max(min(end + spec.window, latest), span.start + timedelta(seconds=1))
        frame = services.log.read(spec, Window(span.start, end), as_of=before, most=LOOK_ROWS)
    return Reference(frame, f"log, {Window(span.start, end)}")


def healthy_history(services: Services, session: Session, spec: ModelSpec, before: datetime) -> pd.DataFrame:
    """The rows of the last windows before `before`, whichever version answered, without the harmed and doubtful ones.

    A model that fails slowly must not be compared with its own failing: windows whose loss had risen by more than half
    the tolerance are left out, though nobody called them an incident yet.
    """
    window = Window.before(before, HISTORY_WINDOWS * spec.window)
    frame = without_harmed(session, spec, services.log.read(spec, window, as_of=before, most=LOOK_ROWS))
    return _outside(frame, queries.doubtful_windows(session, spec.name, since=window.start))


def without_harmed(session: Session, spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows outside past incidents and unfit windows: what is over must not raise the next alarm."""
    return _outside(
        frame, [*queries.past_incident_windows(session, spec.name), *queries.unfit_windows(session, spec.name)]
    )


def _outside(frame: pd.DataFrame, windows: list[Window]) -> pd.DataFrame:
    for window in windows:
        frame = frame[(frame["timestamp"] < window.start) | (frame["timestamp"] >= window.end)]
    return frame
