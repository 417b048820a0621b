"""Look at one model's recent window: data quality, drift, performance, and an estimate before labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline import counting, profiles
from agent.pipeline.reference import reference_of, without_harmed
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import MeasurementRow, MonitorRun, StoredProfile
from ml.models.registry import CHAMPION
from ml.results import Measurement, Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.data.bins import BinSet
    from ml.data.hourly import Hour
    from ml.data.profiles import Profile

KEPT_PROFILES = 60


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw; `profile` is kept to rank later windows against, `state` for the test over all looks,
    `hours` for the profiles of later windows."""

    model: str
    window: Window
    rows: int
    champion: str | None
    seconds: float
    measurements: list[Measurement]
    profile: Profile
    state: dict[str, Any] = field(default_factory=dict)
    hours: Mapping[datetime, Hour] = field(default_factory=dict)


def look(services: Services, spec: ModelSpec, at: datetime) -> Look | None:
    """Measure the window that ends at `at`; None when this look was made before (each look happens once).

    `recent` is judged without labels. `mature` is one window long too, but ends a label delay earlier, so that its
    labels have had time to arrive. Reads only: `keep` stores what was seen.
    """
    from ml.monitors.look import Baseline, whole_look

    recent = Window.before(at, spec.window)
    mature = Window.before(at - spec.label_delay, spec.window)
    with services.store.read() as session:
        seen = select(MonitorRun.id).where(MonitorRun.model == spec.name, MonitorRun.window_end == recent.end)
        if session.scalar(seen) is not None:
            return None
        started = time.perf_counter()
        version = services.registry.alias(spec.name, CHAMPION)
        reference = reference_of(services, session, spec, version, at)
        last = counting.last_look(session, spec.name, at)
        until = counting.matured(spec, reference, at)
        pinned = services.log.version(spec.name)
        span = Window(counting.reach(mature, until, spec, last), recent.end)
        read = services.log.read(spec, span, as_of=at, version=pinned, most=profiles.LOOK_ROWS)
        frame = without_harmed(session, spec, read)
        baseline = Baseline(spec, reference.frame)
        now, hours = profiles.whole_profile(services, session, spec, baseline.bins, frame, recent, at, pinned)
        found = whole_look(
            baseline,
            frame[frame["timestamp"] >= mature.start],
            recent=recent,
            mature=mature,
            at=at,
            history=_history(session, spec, baseline.bins, recent),
            rise=counting.state_of(session, spec, reference, version, last),
            fresh=counting.uncounted(services, session, spec, frame, until, version, last),
            passed=counting.since(at, spec, last),
            now=now,
        )
    return Look(
        spec.name,
        recent,
        now.rows,
        version,
        time.perf_counter() - started,
        found.measurements,
        found.profile,
        counting.to_keep(found.rise, pinned, until),
        hours,
    )


def keep(session: Session, seen: Look) -> None:
    """Store a look with its measurements; its profile too, when it does not overlap the one stored last."""
    run = MonitorRun(
        model=seen.model,
        window_start=seen.window.start,
        window_end=seen.window.end,
        rows=seen.rows,
        champion=seen.champion,
        seconds=seen.seconds,
        state=seen.state,
    )
    session.add(run)
    session.flush()
    session.add_all(_row(run, measurement) for measurement in seen.measurements)
    bins = seen.profile.bins.id
    profiles.keep_hours(session, seen.model, bins, seen.hours)
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


def _history(session: Session, spec: ModelSpec, bins: BinSet, recent: Window) -> Sequence[Profile]:
    """Profiles of earlier windows in the same bins, without those that touch an incident or an unfit window."""
    from ml.data.profiles import Profile

    rows = session.scalars(
        select(StoredProfile)
        .where(
            StoredProfile.model == spec.name,
            StoredProfile.bins == bins.id,
            StoredProfile.window_end <= recent.start,
        )
        .order_by(StoredProfile.window_end.desc())
        .limit(KEPT_PROFILES)
    ).all()
    unhealthy = [*queries.past_incident_windows(session, spec.name), *queries.unfit_windows(session, spec.name)]
    healthy = [row for row in rows if not any(Window(row.window_start, row.window_end).overlaps(w) for w in unhealthy)]
    return [Profile.from_dict(row.document, bins) for row in healthy]


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
