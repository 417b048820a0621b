"""The closed set of actions, each with its exact parameters; risk and reversibility come from a table here,
never from whoever proposes. Pure: no I/O, no vendor but pydantic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ml.spec import Release


class ActionKind(StrEnum):
    RETRAIN = "retrain"
    ROLLBACK = "rollback"
    PROMOTE = "promote"
    RECALIBRATE = "recalibrate"
    REFRESH_REFERENCE = "refresh_reference"
    FIX_DATA = "fix_data"
    SILENCE = "silence"
    WAIT_FOR_LABELS = "wait_for_labels"
    NO_ACTION = "no_action"


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str


def _staged() -> Any:
    """Stages that the spec asked for when this was proposed; what has none is as it was before there were stages."""
    return Field(None, description="the stages of its release; none: at once", exclude_if=lambda value: value is None)


class Retrain(_Action):
    """Train a new version on a pinned data window and, if it passes the gate, make it champion."""

    kind: Literal[ActionKind.RETRAIN] = ActionKind.RETRAIN
    expected_version: str = Field(description="the champion that the new version must beat and replace")
    data_version: str = Field(description="pinned version of the prediction log")
    window_start: datetime
    window_end: datetime
    release: Release | None = _staged()


class Rollback(_Action):
    """Make an earlier version champion again."""

    kind: Literal[ActionKind.ROLLBACK] = ActionKind.ROLLBACK
    expected_version: str = Field(description="the champion that is to be replaced")
    to_version: str


class Promote(_Action):
    """Make a registered version champion."""

    kind: Literal[ActionKind.PROMOTE] = ActionKind.PROMOTE
    expected_version: str
    to_version: str
    release: Release | None = _staged()


class Recalibrate(_Action):
    """Keep the model, refit the map from score to probability on recent labels."""

    kind: Literal[ActionKind.RECALIBRATE] = ActionKind.RECALIBRATE
    expected_version: str
    data_version: str
    window_start: datetime
    window_end: datetime
    release: Release | None = _staged()


class RefreshReference(_Action):
    """Compare against a newer healthy window from now on."""

    kind: Literal[ActionKind.REFRESH_REFERENCE] = ActionKind.REFRESH_REFERENCE
    window_start: datetime
    window_end: datetime


class FixData(_Action):
    """Tell the data's owner exactly what broke, and mark the window unfit for training. No model changes."""

    kind: Literal[ActionKind.FIX_DATA] = ActionKind.FIX_DATA
    features: tuple[str, ...]
    repair: str = Field(description="what undoes the fault, e.g. 'multiply by 38.67'")
    onset: datetime
    window_end: datetime
    notify: str = ""


class Silence(_Action):
    """Open no incident for these alerts until a time; measuring goes on. No model changes."""

    kind: Literal[ActionKind.SILENCE] = ActionKind.SILENCE
    monitor: str | None = Field(None, description="`drift.psi`, or a family such as `drift`; none is every monitor")
    feature: str | None = Field(None, description="a column; none is every column, and the model as a whole")
    until: datetime


class WaitForLabels(_Action):
    """Too few mature labels to tell: look again when they are due."""

    kind: Literal[ActionKind.WAIT_FOR_LABELS] = ActionKind.WAIT_FOR_LABELS
    labels_needed: int
    due: datetime | None = None


class NoAction(_Action):
    """Nothing is harmed; the finding is recorded."""

    kind: Literal[ActionKind.NO_ACTION] = ActionKind.NO_ACTION


Action = Annotated[
    Retrain | Rollback | Promote | Recalibrate | RefreshReference | FixData | Silence | WaitForLabels | NoAction,
    Field(discriminator="kind"),
]
ACTION: TypeAdapter[Action] = TypeAdapter(Action)


@dataclass(frozen=True, slots=True)
class Character:
    """What the server knows about a kind of action, whoever proposes it."""

    risk: Risk
    changes_model: bool
    undo: str
    blast_radius: str


CHARACTER: Mapping[ActionKind, Character] = {
    ActionKind.RETRAIN: Character(
        Risk.HIGH, True, "roll back to the version it replaced", "every prediction of this model"
    ),
    ActionKind.ROLLBACK: Character(
        Risk.MEDIUM, True, "promote the replaced version again", "every prediction of this model"
    ),
    ActionKind.PROMOTE: Character(
        Risk.HIGH, True, "roll back to the version it replaced", "every prediction of this model"
    ),
    ActionKind.RECALIBRATE: Character(
        Risk.MEDIUM, True, "roll back to the version it replaced", "scores of this model"
    ),
    ActionKind.REFRESH_REFERENCE: Character(Risk.LOW, False, "set the earlier reference again", "monitoring only"),
    ActionKind.FIX_DATA: Character(
        Risk.LOW, False, "mark the window fit again", "one message, and the training data of this window"
    ),
    ActionKind.SILENCE: Character(
        Risk.LOW, False, "it ends by itself; end it sooner with `watchkeeper silence end`", "alerts of this model"
    ),
    ActionKind.WAIT_FOR_LABELS: Character(Risk.LOW, False, "nothing to undo", "none"),
    ActionKind.NO_ACTION: Character(Risk.LOW, False, "nothing to undo", "none"),
}


def parse_action(data: Mapping[str, Any]) -> Action:
    """The typed action from plain data. Raises: pydantic.ValidationError for anything outside the closed set."""
    return ACTION.validate_python(dict(data))


def canonical_json(data: Mapping[str, Any]) -> bytes:
    """The one byte form of plain data: sorted keys, no spaces, no NaN (RFC 8785 in spirit).

    >>> canonical_json({"b": 1, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(action: Action) -> str:
    """SHA-256 of the action's canonical JSON: what the card shows, what is approved, what runs."""
    return hashlib.sha256(canonical_json(ACTION.dump_python(action, mode="json"))).hexdigest()
