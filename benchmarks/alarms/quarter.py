"""Daily looks at one stream, through the monitors and the alert rules of the watch; no database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pandas as pd

from agent.domain.alerting import fingerprint, judge
from benchmarks.alarms.streams import DAY, START, Stream
from ml.data.profiles import Profile, merge, profile_frame
from ml.monitors import rise as rises
from ml.monitors.look import Baseline, whole_look
from ml.results import Status, Window


@dataclass
class Quarter:
    """alarms: the day of the first alert, by monitor and column. fell: the day from which the model was worse."""

    alarms: dict[str, int] = field(default_factory=dict)
    fell: int | None = None

    def first(self, *monitors: str) -> int | None:
        """The day of the first alert, of any monitor or of these."""
        days = [day for name, day in self.alarms.items() if not monitors or name.split(" ")[0] in monitors]
        return min(days, default=None)


def watch_days(
    stream: Stream, days: int, *, per_day: int = 500, harm: float = 0.0, fell: int | None = None, stop: bool = False
) -> Quarter:
    """Look once a day. harm: what is added to the error from day `fell` on. stop: at the first alert after it."""
    spec = stream.spec
    baseline = Baseline(spec, stream.reference)
    state = rises.begin(spec, stream.reference, "1")
    found, before = Quarter(fell=fell), Counter[str]()
    history: list[Profile] = []
    kept_until = START
    week = spec.window // DAY
    rows = [stream.day(k, per_day, 0.0) for k in range(-week, 0)]  # the model is a window old when the watch begins
    counted = [profile_frame(part, baseline.bins) for part in rows]
    for k in range(days):
        rows.append(stream.day(k, per_day, harm if fell is not None and k >= fell else 0.0))
        counted = [*counted, profile_frame(rows[-1], baseline.bins)][-week:]
        at = START + (k + 1) * DAY
        recent, mature = Window.before(at, spec.window), Window.before(at - spec.label_delay, spec.window)
        reach = spec.window + spec.label_delay
        rows = rows[-(reach // DAY + 1) :]
        frame = pd.concat(rows, ignore_index=True)
        frame = frame[frame["timestamp"] >= mature.start]
        frame = frame.assign(label=frame["label"].where(frame["label_timestamp"] <= at))
        grown = frame["timestamp"].between(at - spec.label_delay - DAY, at - spec.label_delay, inclusive="left")
        seen = whole_look(
            baseline,
            frame,
            recent=recent,
            mature=mature,
            at=at,
            history=history[-60:],
            rise=state,
            fresh=frame[grown],
            passed=timedelta(days=1),
            now=merge(counted),
        )
        if seen.rise is not None:
            state = seen.rise
        if kept_until <= recent.start:
            history.append(seen.profile)
            kept_until = recent.end
        for m in seen.measurements:
            key = fingerprint(spec.name, m)
            verdict = judge(spec, m, before[key])
            before[key] = before[key] + 1 if m.status is Status.BREACH else 0
            if verdict.outcome == "raise":
                name = " ".join(filter(None, (m.monitor, m.feature, m.segment)))
                found.alarms.setdefault(name, k)
        if stop and fell is not None and (found.first("performance.rise") or -1) >= fell:
            break
    return found
