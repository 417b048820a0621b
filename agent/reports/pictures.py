"""Pictures for any door: from the records of a span of time, each as PNG and SVG with the words for who cannot see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from agent.reports import measured, series
from agent.reports.canvas import png_of, svg_of
from agent.reports.pictured import Drawn
from agent.store import queries


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture. `svg` is an element that takes the size of its surroundings; `alt` says what is to be seen."""

    png: bytes
    svg: str
    alt: str


def picture_of(drawn: Drawn) -> Picture:
    return Picture(png_of(drawn), svg_of(drawn), drawn.alt)


def metric_over_time(session: Session, model: str, since: datetime, until: datetime) -> Picture | None:
    """Performance with its intervals, deployments and incidents marked; None without any labelled value.

    Raises: NotFound, as all of these.
    """
    chart = series.performance(session, queries.spec_of(session, model), since, until)
    return None if chart is None else picture_of(chart)


def drift_heat_map(session: Session, model: str, since: datetime, until: datetime) -> Picture | None:
    """Drift by feature and time, the loudest features; None where nothing was measured."""
    found = measured.drift(session, queries.spec_of(session, model), since, until)
    return None if found is None else picture_of(found)


def slices_heat_map(session: Session, model: str, since: datetime, until: datetime) -> Picture | None:
    """The loss of each slice by period, against the reference; None where the spec names no segments."""
    found = measured.slices(session, queries.spec_of(session, model), since, until)
    return None if found is None else picture_of(found)


def versions_compared(session: Session, model: str, since: datetime, until: datetime) -> Picture | None:
    """The metric of each version while it answered; None where none had labelled looks."""
    found = measured.versions(session, queries.spec_of(session, model), since, until)
    return None if found is None else picture_of(found)


def decision_funnel(session: Session, model: str | None, since: datetime, until: datetime) -> Picture:
    """From alerts to what helped, counted; of one model or of all."""
    return picture_of(measured.funnel(session, model, since, until))


def importance_then_and_now(
    then: Mapping[str, float], now: Mapping[str, float], *, then_label: str, now_label: str
) -> Picture | None:
    """Shares of the features (`ml.models.explain.importance`) at two times; None where there is no feature."""
    found = measured.importance(then, now, then_label=then_label, now_label=now_label)
    return None if found is None else picture_of(found)
