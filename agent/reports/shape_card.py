"""What a model card knows: one version of a model, where it came from and how it has done since."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from agent.reports.judged import Outcome
from agent.reports.pictured import Bar, Bars, Chart, HeatMap, Importance, Point
from agent.reports.shape import DeploymentFacts, ModelFacts


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Column(_Part):
    """A feature as the spec has it."""

    name: str
    type: str
    used: bool
    description: str = ""


class Decided(_Part):
    """A proposal about the model and what people said to it."""

    id: str
    at: datetime
    what: str
    state: str
    people: list[str]
    reason: str = ""


class CardFacts(_Part):
    """One version of a model, from the registry and the records."""

    kind: Literal["card"] = "card"
    at: datetime
    model: ModelFacts
    version: str
    state: str
    summary: str = ""
    summary_by: str = ""
    made_at: datetime | None = None
    trainer: str = ""
    data_version: str | None = None
    code_version: str | None = None
    parent_version: str | None = None
    proposal_id: str | None = None
    parameters: dict[str, str] = {}
    metrics: list[Bar] = []
    held_out: str = ""
    live: Point | None = None
    better: Literal["lower", "higher"]
    threshold: float | None = None
    columns: list[Column] = []
    columns_left_out: int = 0
    segments: list[str] = []
    label_delay: str = ""
    window: str = ""
    deployments: list[DeploymentFacts] = []
    decisions: list[Decided] = []
    outcomes: list[Outcome] = []
    judged: int = 0
    helped: int = 0
    chart: Chart | None = None
    drift: HeatMap | None = None
    slices: HeatMap | None = None
    versions: Bars | None = None
    importance: Importance | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return self.model_dump(mode="json")
