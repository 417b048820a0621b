"""What the report of a span of time knows. Every number that any format shows stands here, rounded as it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agent.reports.judged import Cost, Outcome, Quality, Speed, Worth
from agent.reports.pictured import Bars, Chart, HeatMap, Point
from agent.reports.shape import DeploymentFacts, ModelFacts


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Happened(_Part):
    """An incident in one line, for the report of a period."""

    id: str
    model: str
    state: str
    severity: str
    title: str
    opened_at: datetime
    resolved_at: datetime | None = None
    cause: str | None = None
    percent: int | None = None
    action: str | None = None
    proposal_state: str | None = None
    resolution: str = ""


class Waiting(_Part):
    """A proposal that waits for a decision."""

    id: str
    model: str
    what: str
    risk: str
    why: str
    incident_id: str | None = None
    created_at: datetime
    approve_by: datetime


class Watched(_Part):
    """One model over the period. `rows` are those of the latest look (looks overlap, so they do not add up).

    `happened`: its incidents, of which `not_listed` have no line. `in_full`: has a section of its own; of the others
    the table says all.
    """

    model: ModelFacts
    better: Literal["lower", "higher"]
    looks: int
    looks_without_data: int
    blind: str = ""
    last_look: datetime | None = None
    rows: int | None = None
    champion: str | None = None
    latest: Point | None = None
    first: Point | None = None
    firing: int = 0
    state: str
    incidents: list[Happened] = []
    deployments: list[DeploymentFacts] = []
    happened: int = 0
    not_listed: int = 0
    in_full: bool = True
    chart: Chart | None = None
    drift: HeatMap | None = None
    slices: HeatMap | None = None
    versions: Bars | None = None


class Risk(_Part):
    """What may go wrong next, by a rule of `agent.reports.at_risk`; the nearest first."""

    model: str
    rule: str
    text: str


class Counts(_Part):
    models: int
    looks: int
    incidents: int
    open: int
    waiting: int
    deployments: int


class Talk(_Part):
    """Conversation in a span of time. `answers`: how many by whom; `usd` is None where no price is known."""

    questions: int
    answers: dict[str, int]
    fell_back: int
    up: int
    down: int
    reasons: list[str]
    calls: int
    tokens: int
    usd: float | None


class PeriodFacts(_Part):
    """The watch over a span of time, from the records alone."""

    kind: Literal["period"] = "period"
    at: datetime
    start: datetime
    end: datetime
    model: str | None = None
    summary: str = ""
    counts: Counts
    models: list[Watched]
    waiting: list[Waiting] = []
    frozen: str | None = None
    talk: Talk | None = None
    cadence: Literal["", "daily", "weekly", "monthly"] = ""
    speed: dict[str, Speed] = {}
    outcomes: list[Outcome] = []
    judged: int = 0
    helped: int = 0
    worth: list[Worth] = []
    risks: list[Risk] = []
    quality: Quality | None = None
    cost: Cost | None = None
    funnel: Bars | None = None
    summary_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return self.model_dump(mode="json")


class Side(_Part):
    """One of two spans of time: what was counted in it, and how it did."""

    start: datetime
    end: datetime
    counts: Counts
    speed: dict[str, Speed] = {}
    quality: Quality
    judged: int
    helped: int


class Compared(_Part):
    """One model's last look in each of two spans. `change` is the later minus the earlier; it is `clear` when the two
    95 % intervals do not touch, and `better` or worse by the metric's own direction."""

    model: ModelFacts
    direction: Literal["lower", "higher"]
    before: Point | None = None
    now: Point | None = None
    change: float | None = None
    clear: bool = False
    better: bool | None = None
    incidents_before: int = 0
    incidents_now: int = 0
    chart: Chart | None = None


class ComparisonFacts(_Part):
    """A span of time beside the one before it, from the records alone."""

    kind: Literal["comparison"] = "comparison"
    at: datetime
    model: str | None = None
    summary: str = ""
    summary_by: str = ""
    before: Side
    now: Side
    models: list[Compared]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return self.model_dump(mode="json")
