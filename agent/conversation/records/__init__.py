"""The records as the tools read them: each read is one short transaction, limited to what its caller may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.conversation.records import happened, likeness, lineage, period, queue, runbooks, watched
from agent.conversation.records.period import Period
from agent.conversation.records.sight import Sight
from agent.domain.policy import Policy
from agent.store.session import Store
from tools.context import Caller, Found, Records, Span


@dataclass(frozen=True)
class Sources:
    """Where the records are. What `agent.reports` and the registry know is given as functions; `embed` is the embedding
    model, where one is configured."""

    store: Store
    home: Path
    policy: Callable[[], Policy]
    versions: lineage.Versions
    timeline: happened.Timeline
    period: Period
    comparison: Period
    embed: likeness.Embed | None = None


@dataclass(frozen=True)
class StoredRecords:
    """`tools.context.Records` over the database, the registry and the workspace. Safe to use from several threads."""

    sources: Sources
    caller: Caller
    now: datetime

    def _see(self, read: Callable[[Sight], Found]) -> Found:
        with self.sources.store.read() as session:
            return read(Sight(session, self.caller, self.now))

    def models(self, model: str | None, cursor: str | None) -> Found:
        return self._see(lambda sight: watched.models(sight, model, cursor))

    def measurements(
        self,
        model: str,
        monitor: str | None,
        feature: str | None,
        segment: str | None,
        span: Span,
        cursor: str | None,
    ) -> Found:
        return self._see(lambda sight: watched.measurements(sight, model, monitor, feature, segment, span, cursor))

    def drift(self, model: str, span: Span, cursor: str | None) -> Found:
        return self._see(lambda sight: watched.drift(sight, model, span, cursor))

    def performance(self, model: str, span: Span, cursor: str | None) -> Found:
        return self._see(lambda sight: watched.performance(sight, model, span, cursor))

    def versions(self, model: str, compare: tuple[str, str] | None, cursor: str | None) -> Found:
        self._see(lambda sight: _known(sight, model))
        return lineage.versions(self.sources.versions(model), model, compare, cursor)

    def deployments(self, model: str, span: Span, cursor: str | None) -> Found:
        return self._see(lambda sight: lineage.deployments(sight, model, span, cursor))

    def incidents(self, model: str | None, state: str | None, span: Span, cursor: str | None) -> Found:
        return self._see(lambda sight: happened.incidents(sight, model, state, span, cursor))

    def incident(self, wanted: str) -> Found:
        return self._see(lambda sight: happened.incident(sight, wanted, self.sources.timeline))

    def diagnosis(self, incident: str | None, model: str | None) -> Found:
        return self._see(lambda sight: happened.diagnosis(sight, incident, model))

    def similar(self, incident: str | None, text: str | None) -> Found:
        return self._see(lambda sight: likeness.similar(sight, incident, text, self.sources.embed))

    def runbooks(self, query: str | None, name: str | None, cursor: str | None) -> Found:
        return runbooks.runbooks(self.sources.home, query, name, cursor)

    def proposals(
        self, wanted: str | None, model: str | None, state: str | None, span: Span, cursor: str | None
    ) -> Found:
        policy = self.sources.policy()
        return self._see(lambda sight: queue.proposals(sight, policy, wanted, model, state, span, cursor))

    def executions(self, wanted: str | None, model: str | None, span: Span, cursor: str | None) -> Found:
        return self._see(lambda sight: queue.executions(sight, wanted, model, span, cursor))

    def reports(self, model: str | None, span: Span, beside: bool = False) -> Found:
        if beside:
            return self._see(lambda sight: period.compared(sight, model, span, self.sources.comparison))
        return self._see(lambda sight: period.reports(sight, model, span, self.sources.period))


def _known(sight: Sight, model: str) -> Found:
    sight.spec(model)
    return Found()


def _is_records(made: StoredRecords) -> Records:
    """For the type checker: this is what the tools ask for."""
    return made


__all__ = ["Sources", "StoredRecords"]
