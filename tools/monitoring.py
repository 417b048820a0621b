"""Reading what is watched: models, measurements, drift, performance, versions, deployments, reports, what if."""

from __future__ import annotations

from tools.answering import answer, query
from tools.arguments import (
    Beside,
    Cursor,
    Feature,
    ModelName,
    Monitor,
    Pair,
    Segment,
    Since,
    TrialAction,
    Until,
    Version,
    past,
    span,
)
from tools.context import Span, ToolContext
from tools.results import ToolResult


def models(context: ToolContext, model: ModelName | None = None, cursor: Cursor | None = None) -> ToolResult:
    """Models under watch: state (healthy, incident, warning, no_data), champion, latest metric with interval and
    threshold, open incident, waiting proposal. With `model`: its features, label delay and tolerance too."""
    source = f"watchkeeper model show {model}" if model else "watchkeeper model list"
    return answer(context.records.models(model, cursor), source)


def measurements(
    context: ToolContext,
    model: ModelName,
    monitor: Monitor | None = None,
    feature: Feature | None = None,
    segment: Segment | None = None,
    since: Since | None = None,
    until: Until | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """Every number that the monitors gave for a model, as series over time (newest first): value, interval, n,
    threshold, status. Narrow it by monitor, feature, segment or time."""
    within = span(since, until, context.now)
    source = query(f"/api/v1/models/{model}/measurements", monitor=monitor, feature=feature, since=within.since)
    return answer(context.records.measurements(model, monitor, feature, segment, within, cursor), source)


def drift(
    context: ToolContext,
    model: ModelName,
    since: Since | None = None,
    until: Until | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """How far each input (and the answers) moved from the reference, strongest first: value, threshold, status, since
    when it breaches. The latest look, or the latest within a span of time."""
    within = span(since, until, context.now)
    source = query(f"/api/v1/models/{model}/drift")
    return answer(context.records.drift(model, within, cursor), source)


def performance(
    context: ToolContext,
    model: ModelName,
    since: Since | None = None,
    until: Until | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """How well a model does against its labels over time (newest first), the change from first to last, the loss by
    slice, and what is estimated where labels are missing. `better` says whether lower or higher is."""
    within = span(since, until, context.now)
    source = query(f"/api/v1/models/{model}/performance", since=within.since)
    return answer(context.records.performance(model, within, cursor), source)


def versions(
    context: ToolContext, model: ModelName, compare: Pair | None = None, cursor: Cursor | None = None
) -> ToolResult:
    """The versions of a model in the registry, newest first: aliases, metrics, parameters, data version, which proposal
    made them. With `compare` (two versions): what differs between them."""
    pair = (compare[0], compare[1]) if compare else None
    return answer(context.records.versions(model, pair, cursor), query(f"/api/v1/models/{model}/versions"))


def deployments(
    context: ToolContext, model: ModelName, since: Since | None = None, cursor: Cursor | None = None
) -> ToolResult:
    """Which version of a model went live when, how (first, promote, rollback, retrain …) and by which proposal, newest
    first."""
    within = Span(since=past(since, context.now, "since"))
    return answer(context.records.deployments(model, within, cursor), f"watchkeeper model show {model}")


def reports(
    context: ToolContext, model: ModelName | None = None, period: Since = "7d", compare: Beside | None = None
) -> ToolResult:
    """The numbers of a period, for all models or one: looks, incidents, decided, executed, helped, waiting, and each
    model's metric at its first and last look. With `compare`: beside the time of the same length before it, and whether
    each model's metric is clearly different."""
    within = Span(past(period, context.now, "period"), context.now)
    kind = " --kind comparison" if compare else ""
    source = f"watchkeeper report{kind} --period {period}" + (f" --model {model}" if model else "")
    return answer(context.records.reports(model, within, compare is not None), source)


def what_if(
    context: ToolContext, model: ModelName, action: TrialAction, to_version: Version | None = None
) -> ToolResult:
    """Try an action in memory on the recent labelled rows: the metric before and after, the difference with its 95 %
    interval, n. Changes and logs nothing. May take half a minute. `to_version` for a rollback."""
    source = f"what_if {action} on {model}"
    return answer(context.trials.what_if(model, action, to_version), source)
