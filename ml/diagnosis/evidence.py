"""Numbered facts. Every sentence a diagnosis says to a person cites one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ml.results import Interval


class Kind(StrEnum):
    """What a fact is about."""

    VOLUME = "volume"
    LABELS = "labels"
    POWER = "power"
    QUALITY = "quality"
    DRIFT = "drift"
    LOSS = "loss"
    METRIC = "metric"
    CALIBRATION = "calibration"
    DEPLOYMENT = "deployment"
    ATTRIBUTION = "attribution"
    SLICE = "slice"
    TRIAL = "trial"
    REPLAY = "replay"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: `value` in `unit` over `n` rows, with its interval where it has one, and where it comes from.

    `facts` has plain values for plots (JSON-ready); it is no part of the contract's document.
    """

    id: str
    kind: Kind
    statement: str
    value: float | None
    interval: Interval | None
    n: int
    unit: str
    source: str
    feature: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        interval = None if self.interval is None else [finite(self.interval.low), finite(self.interval.high)]
        return {
            "id": self.id,
            "kind": self.kind.value,
            "statement": self.statement,
            "value": finite(self.value),
            "interval": interval,
            "n": self.n,
            "unit": self.unit,
            "source": self.source,
            "feature": self.feature,
        }


def finite(value: float | None) -> float | None:
    """A number that JSON can carry: None for a missing or infinite one.

    >>> finite(float("nan")) is None
    True
    """
    return None if value is None or not math.isfinite(value) else float(value)


class Ledger:
    """Gathers facts in order and numbers them E1, E2, …"""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def add(
        self,
        kind: Kind,
        statement: str,
        value: float | None = None,
        *,
        interval: Interval | None = None,
        n: int = 0,
        unit: str = "",
        source: str = "",
        feature: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> str:
        """Record a fact and return its number."""
        number = f"E{len(self.facts) + 1}"
        number_facts = dict(facts or {})
        self.facts.append(
            Fact(number, kind, statement, finite(value), interval, int(n), unit, source, feature, number_facts)
        )
        return number
