"""Profiles by the hour, kept: a window is the sum of its hours, and an hour is counted once.

A kept hour carries a fingerprint of the files that may hold its rows. Rows that come late land in new files, so that
their hour is counted again, and no other. Labels touch no hour: only the joint table depends on them, and is made when
it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from ml.data.bins import BinSet
from ml.data.cluster import map_parts
from ml.data.prediction_log import DataVersion, PredictionLog
from ml.data.profile_table import HOUR, profile_log
from ml.data.profiles import EPOCH, Profile, merge
from ml.results import Window
from ml.spec import ModelSpec

MILLISECOND = timedelta(milliseconds=1)  # the format's statistics of times may be cut there
PART = timedelta(days=1)
"""What a worker of a cluster gets at a time."""


@dataclass(frozen=True, slots=True)
class Hour:
    """The profile of an hour without its labels (None: no rows), and of which files it was made."""

    fingerprint: str
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class Counted:
    """A profile of windows of the log, and the hours that were counted for it: keep them for the next time."""

    profile: Profile
    hours: Mapping[datetime, Hour]


def profile_windows(
    log: PredictionLog,
    spec: ModelSpec,
    windows: Sequence[Window],
    bins: BinSet,
    *,
    as_of: datetime | None = None,
    version: DataVersion | None = None,
    kept: Mapping[datetime, Hour] | None = None,
    labels: bool = False,
    cluster: str | None = None,
) -> Counted:
    """The profile of the rows in windows that do not overlap, counted inside the engine.

    kept: hours in the same bins from before; those of which a file came or went are counted anew. labels: fill the
    joint table as known at `as_of`. cluster: see `map_parts`; spans of a day are counted there.
    Raises: NotFound, Unavailable as `PredictionLog.read` and `map_parts`.
    """
    pinned = version or log.version(spec.name)
    windows = [w for w in (_until(w, as_of) for w in windows) if w is not None]
    kept = kept or {}
    whole = [hour for window in windows for hour in _whole_hours(window)]
    prints = fingerprints(log, spec, whole, pinned)
    known = {h: kept[h] for h in whole if h in kept and kept[h].fingerprint == prints[h]}
    missing = [hour for hour in whole if hour not in known and prints[hour]]
    step = PART if cluster else None
    spans = list(_spans(missing, step))
    edges = [edge for window in windows for edge in _edges(window)]
    count = partial(_count, log, spec, bins, as_of, pinned)
    found = map_parts(cluster, count, [*spans, *edges])
    made = {hour: profile for part in found[: len(spans)] for hour, profile in part.items()}
    rest = [profile for part in found[len(spans) :] for profile in part.values()]
    hours = {hour: Hour(prints[hour], made.get(hour)) for hour in missing}
    counted = [hour.profile for hour in (*known.values(), *hours.values()) if hour.profile is not None]
    profile = merge([Profile.empty(bins), *counted, *rest])
    if labels:
        joint = [
            part.joint
            for window in windows
            for part in profile_log(
                log, spec, window, bins, as_of=as_of, version=pinned, every=PART, columns=False
            ).values()
        ]
        profile = replace(profile, joint=sum(joint, start=Profile.empty(bins).joint))
    return Counted(profile, hours)


def fingerprints(
    log: PredictionLog, spec: ModelSpec, hours: Sequence[datetime], version: DataVersion
) -> dict[datetime, str]:
    """For each hour, a hash of the names of the files that may hold rows of it; "" where there are none."""
    files = log.files(spec, version)
    out = {}
    for hour in hours:
        names = sorted(
            name
            for name, first, last in files
            if (first is None or first < hour + HOUR) and (last is None or last + MILLISECOND >= hour)
        )
        out[hour] = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] if names else ""
    return out


def _count(
    log: PredictionLog,
    spec: ModelSpec,
    bins: BinSet,
    as_of: datetime | None,
    version: DataVersion,
    part: Window,
) -> dict[datetime, Profile]:
    """What runs on a worker: it reads the log itself, and only profiles come back."""
    return profile_log(log, spec, part, bins, as_of=as_of, version=version, labels=False)


def _until(window: Window, moment: datetime | None) -> Window | None:
    """What of a window lies before a moment."""
    end = window.end if moment is None else min(window.end, moment)
    return Window(window.start, end) if end > window.start else None


def _floor(moment: datetime) -> datetime:
    return moment - (moment - EPOCH) % HOUR


def _whole_hours(window: Window) -> Iterator[datetime]:
    hour = _floor(window.start + HOUR - timedelta(microseconds=1))
    while hour + HOUR <= window.end:
        yield hour
        hour += HOUR


def _edges(window: Window) -> Iterator[Window]:
    """The parts of a window's first and last hour."""
    whole = list(_whole_hours(window))
    if not whole:
        yield window
        return
    if window.start < whole[0]:
        yield Window(window.start, whole[0])
    if whole[-1] + HOUR < window.end:
        yield Window(whole[-1] + HOUR, window.end)


def _spans(hours: Sequence[datetime], step: timedelta | None) -> Iterator[Window]:
    """Hours that follow one another as one window, or several of at most `step`."""
    start = end = None
    for hour in hours:
        if start is not None and end is not None and (hour != end or (step is not None and end - start >= step)):
            yield Window(start, end)
            start = None
        start, end = start or hour, hour + HOUR
    if start is not None and end is not None:
        yield Window(start, end)
