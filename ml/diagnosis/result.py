"""What a diagnosis is: ranked causes, one action, the evidence for and against, and what was not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml.diagnosis.causes import Act, Cause, Verdict
from ml.diagnosis.evidence import Fact, finite
from ml.diagnosis.intake import NotChecked
from ml.diagnosis.shares import Share
from ml.diagnosis.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class RankedCause:
    """One possible cause; `supports` and `contradicts` are numbers of facts."""

    cause: Cause
    probability: float
    supports: tuple[str, ...] = ()
    contradicts: tuple[str, ...] = ()
    onset: datetime | None = None
    features: tuple[str, ...] = ()
    segment: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause.value,
            "probability": round(self.probability, 4),
            "supports": list(self.supports),
            "contradicts": list(self.contradicts),
            "onset": None if self.onset is None else self.onset.isoformat(),
            "features": list(self.features),
            "segment": self.segment,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The one action. `escalate` asks a person to choose: the evidence does not carry this action alone."""

    kind: Act
    why: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    escalate: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "parameters": _plain(self.parameters),
            "why": self.why,
            "escalate": self.escalate,
        }


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A cause or action that was looked at and does not hold, with the facts that say so."""

    what: str
    why: str
    evidence: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "why": self.why, "evidence": list(self.evidence)}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer. `confidence` is the calibrated probability that cause and action are right, `vote_share` the share of
    resampled diagnoses that agree (what the calibration starts from), `shares` which inputs a harder mix comes from."""

    model: str
    verdict: Verdict
    causes: tuple[RankedCause, ...]
    action: Recommendation
    evidence: tuple[Fact, ...]
    not_checked: tuple[NotChecked, ...]
    ruled_out: tuple[RuledOut, ...]
    confidence: float
    trials: tuple[Trial, ...] = ()
    metric: str = ""
    vote_share: float = 1.0
    shares: tuple[Share, ...] = ()
    pictures: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def cause(self) -> RankedCause:
        """The leading cause."""
        return self.causes[0]

    def plot(self, kind: str) -> Figure | None:
        """The evidence of one kind (`loss`, `quality`, `drift`, …) as a figure; None where there is none.

        Raises: InvalidInput for a kind that does not exist.
        """
        from ml.diagnosis.plots import plot

        return plot(self, kind)

    def plots(self) -> dict[str, Figure]:
        """Every figure that the diagnosis has, by kind of evidence."""
        from ml.diagnosis.plots import plots

        return plots(self)

    def to_json(self) -> dict[str, Any]:
        """The contract's document, with `ruled_out`, `confidence`, `trials` and `shares` beside it."""
        return {
            "model": self.model,
            "verdict": self.verdict.value,
            "causes": [c.to_json() for c in self.causes],
            "action": self.action.to_json(),
            "evidence": [f.to_json() for f in self.evidence],
            "not_checked": [n.to_json() for n in self.not_checked],
            "ruled_out": [r.to_json() for r in self.ruled_out],
            "confidence": round(self.confidence, 4),
            "trials": [t.to_json(self.metric) for t in self.trials],
            "shares": [s.to_json() for s in self.shares],
        }


def _plain(value: Any) -> Any:
    """The same with times as text and numbers that JSON can carry."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return finite(value) if isinstance(value, float) else value
