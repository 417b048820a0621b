"""Look at one model's recent window: data quality, drift, performance, and an estimate before labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline.reference import Reference, reference_of, without_harmed
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import MeasurementRow, MonitorRun, StoredProfile
from ml.models.registry import CHAMPION
from ml.results import Measurement, Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.data.profiles import Profile

KEPT_PROFILES = 60


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw; `profile` is kept to rank later windows against."""

    model: str
    window: Window
    rows: int
    champion: str | None
    seconds: float
    measurements: list[Measurement]
    profile: Profile


def look(services: Services, spec: ModelSpec, at: datetime) -> Look | None:
    """Measure the window that ends at `at`; None when this look was made before (each look happens once).

    `recent` is judged without labels. `mature` is one window long too, but ends a label delay earlier, so that its
    labels have had time to arrive. Reads only: `keep` stores what was seen.
    """
    recent = Window.before(at, spec.window)
    mature = Window.before(at - spec.label_delay, spec.window)
    with services.store.read() as session:
        seen = select(MonitorRun.id).where(MonitorRun.model == spec.name, MonitorRun.window_end == recent.end)
        if session.scalar(seen) is not None:
            return None
        started = time.perf_counter()
        version = services.registry.alias(spec.name, CHAMPION)
        frame = services.log.read(spec, Window(mature.start, recent.end), as_of=at)
        frame = without_harmed(session, spec, frame)
        reference = reference_of(services, session, spec, version, at)
        measurements, profile = measure(session, spec, reference, frame, recent=recent, mature=mature, at=at)
    rows = int((frame["timestamp"] >= recent.start).sum())
    return Look(spec.name, recent, rows, version, time.perf_counter() - started, measurements, profile)


def keep(session: Session, seen: Look) -> None:
    """Store a look with its measurements; its profile too, when it does not overlap the one stored last."""
    run = MonitorRun(
        model=seen.model,
        window_start=seen.window.start,
        window_end=seen.window.end,
        rows=seen.rows,
        champion=seen.champion,
        seconds=seen.seconds,
    )
    session.add(run)
    session.flush()
    session.add_all(_row(run, measurement) for measurement in seen.measurements)
    bins = seen.profile.bins.id
    last = session.scalar(
        select(StoredProfile.window_end)
        .where(StoredProfile.model == seen.model, StoredProfile.bins == bins)
        .order_by(StoredProfile.window_end.desc())
        .limit(1)
    )
    if seen.profile.rows and (last is None or last <= seen.window.start):
        session.add(
            StoredProfile(
                model=seen.model,
                bins=bins,
                window_start=seen.window.start,
                window_end=seen.window.end,
                document=seen.profile.to_dict(with_bins=False),
            )
        )


def measure(
    session: Session,
    spec: ModelSpec,
    reference: Reference,
    frame: Any,
    *,
    recent: Window,
    mature: Window,
    at: datetime,
) -> tuple[list[Measurement], Profile]:
    """Every measurement of one look, each `no_data` where its rows are missing, and the profile."""
    from ml.data.bins import make_bins
    from ml.data.profiles import profile_frame
    from ml.monitors.drift import drift
    from ml.monitors.performance import performance
    from ml.monitors.quality import quality

    bins = make_bins(spec, reference.frame)
    before = profile_frame(reference.frame, bins)
    now = profile_frame(frame[frame["timestamp"] >= recent.start], bins)
    history = _history(session, spec, now, recent)
    labelled = frame[frame["timestamp"] < mature.end]
    found = [
        *quality(spec, before, now, window=recent, history=history, as_of=at),
        *drift(spec, before, now, window=recent, history=history),
        *performance(spec, labelled, window=mature, reference=reference.frame, as_of=at),
    ]
    return found, now


def _history(session: Session, spec: ModelSpec, now: Profile, recent: Window) -> Sequence[Profile]:
    """Profiles of earlier windows in the same bins, without those that touch an incident or an unfit window."""
    from ml.data.profiles import Profile

    rows = session.scalars(
        select(StoredProfile)
        .where(
            StoredProfile.model == spec.name,
            StoredProfile.bins == now.bins.id,
            StoredProfile.window_end <= recent.start,
        )
        .order_by(StoredProfile.window_end.desc())
        .limit(KEPT_PROFILES)
    ).all()
    unhealthy = [*queries.past_incident_windows(session, spec.name), *queries.unfit_windows(session, spec.name)]
    healthy = [row for row in rows if not any(Window(row.window_start, row.window_end).overlaps(w) for w in unhealthy)]
    return [Profile.from_dict(row.document, now.bins) for row in healthy]


def _row(run: MonitorRun, m: Measurement) -> MeasurementRow:
    return MeasurementRow(
        run_id=run.id,
        model=run.model,
        monitor=m.monitor,
        feature=m.feature,
        segment=m.segment,
        window_start=m.window.start,
        window_end=m.window.end,
        value=m.value,
        low=m.interval.low if m.interval else None,
        high=m.interval.high if m.interval else None,
        n=m.n,
        unit=m.unit,
        threshold=m.threshold,
        status=m.status,
        detail=m.detail,
        facts=dict(m.facts),
    )
