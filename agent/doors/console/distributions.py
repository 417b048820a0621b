"""The two distributions of a column: in the reference, and in a stored window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import NotFound
from agent.domain.wording import visible
from agent.doors.console.chart_data import Chart, plain
from agent.doors.console.words import number
from agent.pipeline.reference import reference_of
from agent.pipeline.services import Services
from agent.store.tables import MonitorRun, StoredProfile
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.data.profiles import ColumnProfile, Profile

BARS = 16
LEVELS = 15
ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Distributions:
    """One column now and in the reference. facts: a line each with its two numbers."""

    feature: str
    chart: Chart
    said: str
    start: datetime
    end: datetime
    stored: bool
    facts: list[tuple[str, str, str]]


def read_distributions(
    services: Services, session: Session, spec: ModelSpec, feature: str, at: datetime | None
) -> Distributions:
    """From the profile that was stored of a window that ends by `at`, else from the rows of the latest look.

    Raises: NotFound where the model has no such column, or there is nothing to show of it.
    """
    from ml.data.profiles import profile_frame
    from ml.monitors.look import Baseline

    run = _run(session, spec.name, at)
    if run is None:
        raise NotFound(f"No look at {spec.name!r} has seen a row yet; there is nothing to compare.")
    reference = reference_of(services, session, spec, run.champion, run.window_end)
    if reference.frame.empty:
        raise NotFound(f"{spec.name!r} has no reference rows yet; the first windows of its log become them.")
    bins = Baseline(spec, reference.frame).bins
    if feature not in bins.index:
        raise NotFound(f"{spec.name!r} compares no column {visible(feature, 80)!r}.")
    then = profile_frame(reference.frame, bins)
    stored = _stored(session, spec.name, bins.id, run)
    if stored is not None:
        now, start, end = _profile(stored, bins), stored.window_start, stored.window_end
    else:
        window = Window(run.window_start, run.window_end)
        now, start, end = profile_frame(services.log.read(spec, window, most=ROWS), bins), window.start, window.end
    before, after = then.column(feature), now.column(feature)
    labels, a, b = _levels(before, after) if before.bins.is_categorical else _numbers(before, after)
    chart = {"labels": labels, "then": a, "now": b, "names": ["reference", "this window"]}
    return Distributions(
        feature, chart, _said(feature, before, after), start, end, stored is not None, _facts(before, after)
    )


def _run(session: Session, model: str, at: datetime | None) -> MonitorRun | None:
    query = select(MonitorRun).where(MonitorRun.model == model, MonitorRun.rows > 0)
    if at is not None:
        query = query.where(MonitorRun.window_end <= at)
    return session.scalar(query.order_by(MonitorRun.window_end.desc()).limit(1))


def _stored(session: Session, model: str, bins: str, run: MonitorRun) -> StoredProfile | None:
    """The profile of the look itself, where it was kept."""
    return session.get(StoredProfile, (model, bins, run.window_end))


def _profile(row: StoredProfile, bins: Any) -> Profile:
    from ml.data.profiles import Profile

    return Profile.from_dict(row.document, bins)


def _levels(before: ColumnProfile, after: ColumnProfile) -> tuple[list[str], list[float], list[float]]:
    """The commonest levels of both, the rest together, and what is missing."""
    one, other = before.levels, after.levels
    names = sorted({*one, *other}, key=lambda name: (-(one.get(name, 0) + other.get(name, 0)), name))
    kept = names[:LEVELS]
    labels = [visible(name, 24) or "(empty)" for name in kept]
    counts = [[side.get(name, 0) for name in kept] for side in (one, other)]
    if names[LEVELS:]:
        labels.append(f"{len(names) - LEVELS} others")
        for side, sums in zip((one, other), counts, strict=True):
            sums.append(sum(side.get(name, 0) for name in names[LEVELS:]))
    return _with_missing(labels, counts, before, after)


def _numbers(before: ColumnProfile, after: ColumnProfile) -> tuple[list[str], list[float], list[float]]:
    """Neighbouring bins put together, about `BARS` of them, what lies under and over, and what is missing."""
    edges = before.bins.edges
    size = max(-(-len(edges) // BARS), 1)
    labels, counts = [], [[], []]  # type: ignore[var-annotated]
    low = before.bins.low
    for at in range(0, len(edges), size):
        high = edges[min(at + size, len(edges)) - 1]
        labels.append(f"{number(low)} – {number(high)}" if low != high else number(low))
        for side, sums in zip((before, after), counts, strict=True):
            sums.append(int(side.inner[at : at + size].sum()))
        low = high
    if before.under or after.under:
        labels.insert(0, f"< {number(before.bins.low)}")
        for side, sums in zip((before, after), counts, strict=True):
            sums.insert(0, side.under)
    if before.over or after.over:
        labels.append(f"> {number(low)}")
        for side, sums in zip((before, after), counts, strict=True):
            sums.append(side.over)
    return _with_missing(labels, counts, before, after)


def _with_missing(
    labels: list[str], counts: list[list[int]], before: ColumnProfile, after: ColumnProfile
) -> tuple[list[str], list[float], list[float]]:
    if before.null or after.null:
        labels.append("missing")
        for side, sums in zip((before, after), counts, strict=True):
            sums.append(side.null)
    one, other = (
        [plain(n / side.rows) or 0.0 if side.rows else 0.0 for n in sums]
        for side, sums in zip((before, after), counts, strict=True)
    )
    return labels, one, other


def _facts(before: ColumnProfile, after: ColumnProfile) -> list[tuple[str, str, str]]:
    lines = [("rows", str(before.rows), str(after.rows))]
    lines.append(("missing", _missing(before), _missing(after)))
    if before.bins.is_categorical:
        lines.append(("levels", str(len(before.levels)), str(len(after.levels))))
        return lines
    lines.append(("mean", number(before.mean), number(after.mean)))
    lines.append(("least", number(before.minimum), number(after.minimum)))
    lines.append(("greatest", number(before.maximum), number(after.maximum)))
    return lines


def _said(feature: str, before: ColumnProfile, after: ColumnProfile) -> str:
    told = "; ".join(f"{name} {a} then, {b} now" for name, a, b in _facts(before, after))
    return f"{visible(feature, 60)} in the reference and in this window: {told}."


def _missing(side: ColumnProfile) -> str:
    return f"{100 * side.null / side.rows:.3g} %" if side.rows else "–"
