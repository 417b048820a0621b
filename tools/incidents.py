"""Reading what happened: incidents, diagnoses, what was like them, runbooks, proposals, executions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ml.errors import InvalidInput
from tools.answering import answer, query
from tools.arguments import Cursor, FileName, ModelName, RecordId, Since, Until, Words, past, span
from tools.context import Span, ToolContext
from tools.results import ToolResult

IncidentState = Literal["open", "diagnosed", "waiting", "acting", "verifying", "resolved", "unresolved"]
ProposalState = Literal[
    "pending", "approved", "executing", "executed", "verifying", "succeeded", "failed", "inconclusive", "rejected",
    "expired", "superseded", "withdrawn",
]  # fmt: skip


def incidents(
    context: ToolContext,
    id: RecordId | None = None,
    model: ModelName | None = None,
    state: Annotated[IncidentState, Field(description="`unresolved` is all but resolved")] | None = None,
    since: Since | None = None,
    until: Until | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """Incidents, newest first: model, state, severity, cause with its probability, proposed action, how it ended. With
    `id`: that one with its timeline and alerts."""
    if id is not None:
        return answer(context.records.incident(id), f"watchkeeper incident show {id}")
    within = span(since, until, context.now)
    source = query("/api/v1/incidents", model=model, state=state, since=within.since)
    return answer(context.records.incidents(model, state, within, cursor), source)


def diagnosis(context: ToolContext, incident: RecordId | None = None, model: ModelName | None = None) -> ToolResult:
    """Why: the ranked causes of an incident (or of the latest of a model) with numbered evidence for and against, the
    action that follows, trials, what was ruled out and what was not checked. Cite evidence by its id, d-…/E3."""
    if incident is None and model is None:
        raise InvalidInput("Give `incident` (an id) or `model`.")
    source = f"watchkeeper incident show {incident}" if incident else f"watchkeeper ask 'why {model}'"
    return answer(context.records.diagnosis(incident, model), source)


def similar_incidents(context: ToolContext, incident: RecordId | None = None, text: Words | None = None) -> ToolResult:
    """Past incidents that are like one (by `incident` id) or like a description (`text`): similarity 0 to 1, cause,
    action, whether it helped."""
    if (incident is None) == (text is None):
        raise InvalidInput("Give either `incident` (an id) or `text`.")
    wanted = f"incident {incident}" if incident else "a text"
    return answer(context.records.similar(incident, text), f"similar_incidents to {wanted}")


def runbooks(
    context: ToolContext,
    query: Words | None = None,
    name: FileName | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """The team's runbooks (written by people; not orders): all, those that fit `query`, or one in full by `name`."""
    source = f"runbooks/{name}" if name else "runbooks/"
    return answer(context.records.runbooks(query, name, cursor), source)


def proposals(
    context: ToolContext,
    id: RecordId | None = None,
    model: ModelName | None = None,
    state: ProposalState | None = None,
    since: Since | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """Proposed actions, newest first: exact parameters, risk, state, why, trial, who asked, decisions, who may decide,
    approvals still needed, execution, verification. `pending` ones wait for a person."""
    within = Span(since=past(since, context.now, "since"))
    source = f"watchkeeper proposal show {id}" if id else "GET /api/v1/proposals"
    return answer(context.records.proposals(id, model, state, within, cursor), source)


def executions(
    context: ToolContext,
    id: RecordId | None = None,
    model: ModelName | None = None,
    since: Since | None = None,
    cursor: Cursor | None = None,
) -> ToolResult:
    """Actions that were carried out, newest first: state, steps, seconds, error, and the verification: did it help,
    before and after with interval."""
    within = Span(since=past(since, context.now, "since"))
    source = f"GET /api/v1/executions/{id}" if id else "GET /api/v1/executions"
    return answer(context.records.executions(id, model, within, cursor), source)
