"""Proposing: each puts one pending proposal in the queue, for a person to decide. Nothing else changes."""

from __future__ import annotations

from datetime import datetime

from ml.errors import InvalidInput
from tools.actions import ActionKind
from tools.answering import answer
from tools.arguments import Ahead, Feature, Features, ModelName, Monitor, Since, Until, Version, Why, ahead, past
from tools.context import Found, ToolContext, Wanted
from tools.results import ToolResult, error


def propose_retrain(context: ToolContext, model: ModelName, why: Why) -> ToolResult:
    """Ask a person to approve a retraining on the latest labelled rows; the new version goes live only if it is clearly
    better. High risk."""
    return _file(context, Wanted(ActionKind.RETRAIN, model), why)


def propose_rollback(context: ToolContext, model: ModelName, to_version: Version, why: Why) -> ToolResult:
    """Ask a person to approve that an earlier version answers again. Medium risk."""
    return _file(context, Wanted(ActionKind.ROLLBACK, model, to_version=to_version), why)


def propose_promote(context: ToolContext, model: ModelName, to_version: Version, why: Why) -> ToolResult:
    """Ask a person to approve that a registered version becomes champion. High risk."""
    return _file(context, Wanted(ActionKind.PROMOTE, model, to_version=to_version), why)


def propose_recalibrate(context: ToolContext, model: ModelName, why: Why) -> ToolResult:
    """Ask a person to approve refitting the map from score to probability on recent labels; binary models only. Medium
    risk."""
    return _file(context, Wanted(ActionKind.RECALIBRATE, model), why)


def propose_refresh_reference(
    context: ToolContext, model: ModelName, since: Since, until: Until, why: Why
) -> ToolResult:
    """Ask a person to approve comparing against a newer healthy window from now on. Low risk; no model changes."""
    start, end = _window(context, since, until)
    return _file(context, Wanted(ActionKind.REFRESH_REFERENCE, model, since=start, until=end), why)


def propose_mark_data_unfit(
    context: ToolContext, model: ModelName, features: Features, since: Since, until: Until, why: Why
) -> ToolResult:
    """Ask a person to approve that rows of a window are kept out of training because columns are broken; the owner of
    the data is told. Low risk; no model changes."""
    start, end = _window(context, since, until)
    wanted = Wanted(ActionKind.FIX_DATA, model, features=tuple(dict.fromkeys(features)), since=start, until=end)
    return _file(context, wanted, why)


def propose_silence(
    context: ToolContext,
    model: ModelName,
    until: Ahead,
    why: Why,
    monitor: Monitor | None = None,
    feature: Feature | None = None,
) -> ToolResult:
    """Ask a person to approve that alerts of a model (or of one monitor or feature) open no incident until a time.
    Measuring goes on. Low risk; no model changes."""
    end = ahead(until, context.now, "until")
    features = () if feature is None else (feature,)
    wanted = Wanted(ActionKind.SILENCE, model, monitor=monitor, features=features, until=end)
    return _file(context, wanted, why)


def _window(context: ToolContext, since: str, until: str) -> tuple[datetime, datetime]:
    start, end = past(since, context.now, "since"), past(until, context.now, "until")
    if start is None or end is None or start >= end:
        raise InvalidInput(f"since: {since!r} is not before until {until!r}; swap or widen the two times.")
    return start, end


def _file(context: ToolContext, wanted: Wanted, why: str) -> ToolResult:
    if not context.caller.may_propose:
        return error(
            f"{context.caller.name!r} may read, but not propose; a person can, or a token made with --propose."
        )
    made = dict(context.proposals.propose(wanted, why, context.caller))
    found = Found(data={"proposal": made}, evidence=(str(made["id"]),))
    return answer(found, f"watchkeeper proposal show {made['id']}")
