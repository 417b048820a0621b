"""The tools of one caller, wired to this workspace: reads, proposals and trials. Deciding is not among them."""

from __future__ import annotations

from dataclasses import replace

from agent.conversation.records import Sources, StoredRecords
from agent.pipeline.requested import Requests
from agent.pipeline.services import Services
from agent.pipeline.what_if import MemoryTrials
from agent.reports.comparison import comparison_facts
from agent.reports.period import period_facts
from agent.reports.timeline import timeline
from tools.context import Caller, ToolContext


def tool_context(services: Services, caller: Caller, *, may_propose: bool | None = None) -> ToolContext:
    """The context that `caller` calls tools with, as of now. Each call is a transaction of its own, so several threads
    may use it, for as long as an answer takes. `may_propose` narrows what the caller may."""
    if may_propose is not None:
        caller = replace(caller, may_propose=caller.may_propose and may_propose)
    now = services.now()
    sources = Sources(
        store=services.store,
        home=services.home,
        policy=services.policy,
        versions=services.registry.versions,
        timeline=timeline,
        period=period_facts,
        comparison=comparison_facts,
    )
    return ToolContext(
        now, caller, StoredRecords(sources, caller, now), Requests(services), MemoryTrials(services, caller)
    )
