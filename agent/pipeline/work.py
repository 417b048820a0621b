"""One execution as its steps see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.pipeline.apart import Progress, Stopped
from agent.pipeline.services import Services
from agent.store.tables import Proposal
from ml.spec import ModelSpec
from tools.actions import Action

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Work:
    """What a step is given. `results` has what earlier steps returned, by name; `attempt` grows when another worker
    takes over. A long step asks `stopped` whether to go on, and tells `progress` what it is at. `rows` keeps the rows
    to train on once they are read. `confirm` raises LeaseLost where another worker has taken over; it is asked right
    before an effect: who slept past the lease may find the champion that it expects, after two changes by others.
    """

    services: Services
    proposal: Proposal
    action: Action
    spec: ModelSpec
    at: datetime
    attempt: int = 1
    stopped: Stopped = lambda: None
    progress: Progress = lambda phase: None
    confirm: Callable[[], None] = lambda: None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: pd.DataFrame | None = None

    @property
    def expected(self) -> str | None:
        """The version that is to be replaced; None where there is none yet."""
        return self.proposal.action.get("expected_version") or None

    @property
    def version(self) -> str:
        """The version that this execution makes champion."""
        made = self.results.get("train", self.results.get("recalibrate", {}))
        return str(self.proposal.action.get("to_version") or made["version"])


Step = Callable[[Work], Mapping[str, Any]]
Steps = tuple[tuple[str, Step], ...]
