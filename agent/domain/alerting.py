"""When a measurement becomes an alert, and how grave it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ml.results import Measurement, Status
from ml.spec import AlertRule, ModelSpec

SEVERITIES = ("info", "warning", "critical")


def worst(severities: Iterable[str]) -> str:
    """The gravest of some severities; `info` for none."""
    return max(severities, key=SEVERITIES.index, default="info")


def fingerprint(model: str, measurement: Measurement) -> str:
    """What makes two alerts the same one: model, monitor, feature and segment, never the value or the time."""
    key = "\x1f".join([model, measurement.monitor, measurement.feature or "", measurement.segment or ""])
    return hashlib.sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Alerts that open no incident until a time: of one monitor or family and one feature, or of all."""

    id: str
    until: datetime
    monitor: str | None = None
    feature: str | None = None

    def covers(self, measurement: Measurement, at: datetime) -> bool:
        """Whether it holds for a measurement at `at`."""
        named = self.monitor in (None, measurement.monitor, measurement.family)
        return at < self.until and named and self.feature in (None, measurement.feature)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule makes of a measurement: `raise`, `clear`, or `keep` (nothing known, so nothing changes)."""

    outcome: str
    severity: str = "info"


def judge(spec: ModelSpec, measurement: Measurement, breaches_before: int) -> Verdict:
    """Hold one measurement against the spec's alert rule for its family.

    `breaches_before` counts the consecutive breaches that came directly before this one (hysteresis).
    """
    rule: AlertRule = getattr(spec.alerts, measurement.family, AlertRule())
    if measurement.status is Status.NO_DATA:
        return Verdict("keep")
    if measurement.status is Status.OK:
        return Verdict("clear")
    if rule.silence or measurement.n < rule.min_rows or breaches_before + 1 < rule.hysteresis:
        return Verdict("keep")
    return Verdict("raise", rule.severity)
