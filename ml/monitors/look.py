"""A whole look at one model: quality, drift, performance, and an estimate where labels are late; nothing is stored.

Every check is held to a level at which a quarter's looks together raise a false alarm as rarely as the spec says.
Whether the loss has risen is judged over all looks (`rise`); what one window says with its interval explains that, and
stands as a breach only together with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from ml.data.bins import BinSet, make_bins
from ml.data.profiles import Profile, profile_frame
from ml.monitors import rise as rises
from ml.monitors.drift import drift, movements
from ml.monitors.embedding import TextCloud, clouds, embedding_drift
from ml.monitors.performance import Healthy, performance
from ml.monitors.quality import quality
from ml.monitors.rise import Rise
from ml.monitors.segments import by_segment
from ml.monitors.usual import level, pieces
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec

QUALITY_SHARE, DRIFT_SHARE, SEGMENT_SHARE, ESTIMATE_SHARE = 0.2, 0.2, 0.1, 0.1
"""Of `alpha`; the rest is for the rise of the loss."""
LABELS_ARE_HERE = 0.5
"""Share of the recent rows with a label from which no estimate is needed."""
ESTIMATE_ROWS = 2_000


@dataclass(frozen=True)
class Baseline:
    """A reference (healthy log rows) and what is learned from it once."""

    spec: ModelSpec
    frame: pd.DataFrame

    @cached_property
    def bins(self) -> BinSet:
        return make_bins(self.spec, self.frame)

    @cached_property
    def profile(self) -> Profile:
        return profile_frame(self.frame, self.bins)

    @cached_property
    def pieces(self) -> tuple[Profile, ...]:
        return pieces(self.frame, self.bins, self.spec.window)

    @cached_property
    def moved(self) -> dict[str, list[float]]:
        return movements(self.profile, self.pieces, inside=True)

    @cached_property
    def clouds(self) -> dict[str, TextCloud | str]:
        return clouds(self.spec, self.frame)

    @cached_property
    def healthy(self) -> Healthy:
        return Healthy(self.spec, self.frame)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw. profile: of the recent window. rise: the state to carry to the next look, if there is one."""

    measurements: list[Measurement]
    profile: Profile
    rise: Rise | None


def whole_look(
    baseline: Baseline,
    frame: pd.DataFrame,
    *,
    recent: Window,
    mature: Window,
    at: datetime,
    history: Sequence[Profile] = (),
    rise: Rise | str = "",
    fresh: pd.DataFrame | None = None,
    passed: timedelta = timedelta(0),
    now: Profile | None = None,
) -> Seen:
    """Every measurement of one look, each `no_data` where its rows are missing.

    frame: log rows from the start of `mature` to the end of `recent`, with the labels known at `at`. history: profiles
    of healthy windows. rise: the state of the last look, or a fresh one, or why there is none. fresh: rows whose label
    matured since the last look, each once; passed: the time since then. now: the profile of the recent window where it
    was counted elsewhere, and `frame` is a sample of its rows.
    """
    spec = baseline.spec
    if now is None:
        now = profile_frame(frame[frame["timestamp"] >= recent.start], baseline.bins)
    alpha = level(spec.monitors.drift.alpha, recent)
    found = quality(
        spec,
        baseline.profile,
        now,
        window=recent,
        history=history,
        as_of=at,
        pieces=baseline.pieces,
        alpha=QUALITY_SHARE * alpha,
    )
    found += drift(
        spec,
        baseline.profile,
        now,
        window=recent,
        history=history,
        moved=baseline.moved,
        alpha=DRIFT_SHARE * alpha,
    )
    if baseline.clouds:
        here = clouds(spec, frame[frame["timestamp"] >= recent.start])
        found += embedding_drift(spec, baseline.clouds, here, window=recent, alpha=DRIFT_SHARE * alpha)
    labelled = frame[frame["timestamp"] < mature.end]
    judged = performance(spec, labelled, window=mature, reference=baseline.healthy, as_of=at)
    if isinstance(rise, str):
        state = None
        risen = Measurement(rises.MONITOR, mature, None, 0, Status.NO_DATA, detail=f"{rise}." if rise else "")
    else:
        counted = rises.count(spec, rise, labelled.iloc[:0] if fresh is None else fresh, passed)
        state, risen = rises.judge(spec, counted, mature, labelled[labelled["timestamp"] >= mature.start])
    found += [_explains(m, risen) for m in judged] + [risen]
    found += by_segment(spec, labelled, window=mature, reference=baseline.frame, as_of=at, alpha=SEGMENT_SHARE * alpha)
    found += _before_labels(spec, baseline, frame, recent, alpha)
    return Seen(found, now, state)


def _explains(measurement: Measurement, risen: Measurement) -> Measurement:
    """One window's breach, kept as such only while the rise over all looks is proven, or could not be judged."""
    alone = risen.status is Status.OK and measurement.monitor != "performance.labels"
    if measurement.status is not Status.BREACH or not alone:
        return measurement
    detail = measurement.detail + " Beyond its bound in this window, which is not proof yet: see performance.rise."
    return replace(measurement, status=Status.OK, detail=detail, facts={**measurement.facts, "this_window": "beyond"})


def _before_labels(
    spec: ModelSpec, baseline: Baseline, frame: pd.DataFrame, recent: Window, alpha: float
) -> list[Measurement]:
    """The estimate of the recent window, where most of its labels are still to come. Never health: at best, no news."""
    from scipy.special import ndtri

    from ml.monitors.estimation import estimate

    rows = frame[frame["timestamp"] >= recent.start]
    if len(rows) == 0 or float(rows["label"].notna().mean()) > LABELS_ARE_HERE:
        return []
    out = []
    for m in estimate(spec, _few(baseline.frame), _few(rows), window=recent):
        if m.status is Status.BREACH and m.interval is not None and m.value is not None and m.threshold is not None:
            error = (m.interval.high - m.interval.low) / (2 * 1.96)
            if m.value - float(-ndtri(ESTIMATE_SHARE * alpha)) * error <= m.threshold:
                detail = m.detail + " Above the tolerance, though no more than looking every day explains."
                m = replace(m, status=Status.OK, detail=detail)
        out.append(m)
    return out


def _few(rows: pd.DataFrame) -> pd.DataFrame:
    """At most `ESTIMATE_ROWS`, evenly over the time."""
    if len(rows) <= ESTIMATE_ROWS:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, ESTIMATE_ROWS).astype(int)]
