"""What a story is: a model, its real rows in order of time, and the chapters in which something happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from agent.demo.replay import Stage
    from ml.data.scenarios import Stream


@dataclass(frozen=True)
class Decision:
    """What the scripted approver does with the chapter's proposal; no decision at all lets it expire."""

    approve: bool
    reason: str = ""


@dataclass(frozen=True)
class Chapter:
    """A span of a story. `name` is the scenario's name in the contract, or None for what only leads on.

    every: how often the watch looks.
    happens: something done at the start of the chapter (a deployment). fault: what breaks the rows that arrive, until
    somebody repairs the source, `repair` after the data's owner was told.
    """

    name: str | None
    start: datetime
    end: datetime
    every: timedelta = timedelta(days=1)
    decision: Decision | None = None
    happens: Callable[[Stage], None] | None = None
    fault: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    fault_from: datetime | None = None
    repair: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Story:
    """One model: its stream (what its first version is trained on, and what arrives later) and its chapters."""

    stream: Stream
    chapters: tuple[Chapter, ...]

    @property
    def model(self) -> str:
        return self.stream.spec.name
