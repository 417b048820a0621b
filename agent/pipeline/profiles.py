"""The profile of a look's window, of all answers, whether a look reads their rows or not.

A window too large to read is counted where its rows are, by the hour, and the hours are kept with the model. A look at
fewer rows reads them and counts in memory, which is sooner and comes to the same. Answers of which a spec keeps a share
only were counted when they were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import HourlyProfile
from ml.data.prediction_log import DataVersion
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.bins import BinSet
    from ml.data.hourly import Counted, Hour
    from ml.data.profiles import Profile

LOOK_ROWS = 250_000
"""Of more rows a look reads a sample of about so many, for what needs rows; it counts all of them."""
NEARLY = 0.9
"""A sample has not exactly as many rows: from this share on there may be more than were read, and all are counted."""
KEPT = timedelta(days=90)


def whole_profile(
    services: Services,
    session: Session,
    spec: ModelSpec,
    bins: BinSet,
    frame: pd.DataFrame,
    window: Window,
    at: datetime,
    data: DataVersion,
) -> tuple[Profile, Mapping[datetime, Hour]]:
    """The profile of a window outside past incidents and unfit windows, and the hours to keep for the next look.

    frame: what the look has read of its rows, at most about `LOOK_ROWS`, without the harmed ones.
    """
    from ml.data.profiles import merge, profile_frame

    hours: Mapping[datetime, Hour] = {}
    if is_part(frame):
        counted = count_window(services, session, spec, bins, window, at, data)
        profile, hours = counted.profile, counted.hours
    else:
        rows = frame[(frame["timestamp"] >= window.start) & (frame["timestamp"] < window.end)]
        profile = profile_frame(rows, bins)
    if spec.logging.sample < 1:
        services.log.profiles.keep_bins(spec.name, bins)
        parts = outside(window, _harmed(session, spec.name))
        profile = merge([profile, *(services.log.profiles.total(spec.name, part, bins) for part in parts)])
    return profile, hours


def is_part(frame: pd.DataFrame) -> bool:
    """Whether there may be more rows than a look has read."""
    return len(frame) > NEARLY * LOOK_ROWS


def count_window(
    services: Services, session: Session, spec: ModelSpec, bins: BinSet, window: Window, at: datetime, data: DataVersion
) -> Counted:
    """The profile of a window's rows outside past incidents and unfit windows; keep its hours for the next look."""
    from ml.data.hourly import profile_windows

    return profile_windows(
        services.log,
        spec,
        outside(window, _harmed(session, spec.name)),
        bins,
        as_of=at,
        version=data,
        kept=_kept(session, spec.name, bins, window),
        cluster=services.cluster,
    )


def keep_hours(session: Session, model: str, bins: str, hours: Mapping[datetime, Hour]) -> None:
    """Store hours that were counted, in place of what was known of them; forget those of a quarter ago."""
    for hour, counted in hours.items():
        document = None if counted.profile is None else counted.profile.to_dict(with_bins=False)
        session.merge(
            HourlyProfile(model=model, bins=bins, hour=hour, fingerprint=counted.fingerprint, document=document)
        )
    if hours:
        old = max(hours) - KEPT
        session.execute(delete(HourlyProfile).where(HourlyProfile.model == model, HourlyProfile.hour < old))


def outside(window: Window, holes: Sequence[Window]) -> list[Window]:
    """What of a window lies in none of the holes, in order of time."""
    parts, start = [], window.start
    for hole in sorted(holes, key=lambda hole: hole.start):
        if start < hole.start:
            parts.append(Window(start, min(hole.start, window.end)))
        start = max(start, hole.end)
        if start >= window.end:
            return parts
    return [*parts, Window(start, window.end)]


def _harmed(session: Session, model: str) -> list[Window]:
    return [*queries.past_incident_windows(session, model), *queries.unfit_windows(session, model)]


def _kept(session: Session, model: str, bins: BinSet, window: Window) -> dict[datetime, Hour]:
    from ml.data.hourly import Hour
    from ml.data.profiles import Profile

    rows = session.scalars(
        select(HourlyProfile).where(
            HourlyProfile.model == model,
            HourlyProfile.bins == bins.id,
            HourlyProfile.hour >= window.start,
            HourlyProfile.hour < window.end,
        )
    )
    return {
        row.hour: Hour(row.fingerprint, None if row.document is None else Profile.from_dict(row.document, bins))
        for row in rows
    }
