"""What a tool works with: the time, who calls, and three Protocols that the agent implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from tools.actions import ActionKind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, by the name that decisions know them by: for a token that is its owner, who cannot approve what it
    asked for. models: names, or patterns such as `churn-*`, that they may see and propose for; None is all. through:
    what they call through (a token's id, a conversation), for the audit."""

    name: str
    kind: Literal["person", "token", "agent"] = "person"
    models: frozenset[str] | None = None
    may_propose: bool = False
    through: str = ""

    def sees(self, model: str) -> bool:
        """Whether `model` is within what this caller may see.

        >>> Caller("ci", models=frozenset({"churn-*"})).sees("churn-eu"), Caller("ann").sees("rainfall")
        (True, True)
        """
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list, and the cursor that the page after it starts from. evidence: ids that it may be cited by."""

    data: dict[str, Any]
    cursor: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found: a list (`items`, made into data by `shape`), or one thing (`data`).

    missing: why there is nothing; then the result is `no_data`. more: the list goes on after the last item.
    """

    data: dict[str, Any] = field(default_factory=dict)
    items: Sequence[Item] = ()
    shape: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None
    more: bool = False
    missing: str = ""
    window: tuple[datetime, datetime] | None = None
    n: int | None = None
    unit: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Event time that is asked about; None is open."""

    since: datetime | None = None
    until: datetime | None = None


class Records(Protocol):
    """Reading the records, limited to what the caller may see: the rest is not there.

    Raises: NotFound, InvalidInput, Unavailable; a tool turns them into `error`.
    """

    def models(self, model: str | None, cursor: str | None) -> Found: ...
    def measurements(
        self,
        model: str,
        monitor: str | None,
        feature: str | None,
        segment: str | None,
        span: Span,
        cursor: str | None,
    ) -> Found: ...
    def drift(self, model: str, span: Span, cursor: str | None) -> Found: ...
    def performance(self, model: str, span: Span, cursor: str | None) -> Found: ...
    def versions(self, model: str, compare: tuple[str, str] | None, cursor: str | None) -> Found: ...
    def deployments(self, model: str, span: Span, cursor: str | None) -> Found: ...
    def incidents(self, model: str | None, state: str | None, span: Span, cursor: str | None) -> Found: ...
    def incident(self, wanted: str) -> Found: ...
    def diagnosis(self, incident: str | None, model: str | None) -> Found: ...
    def similar(self, incident: str | None, text: str | None) -> Found: ...
    def runbooks(self, query: str | None, name: str | None, cursor: str | None) -> Found: ...
    def proposals(
        self, wanted: str | None, model: str | None, state: str | None, span: Span, cursor: str | None
    ) -> Found: ...
    def executions(self, wanted: str | None, model: str | None, span: Span, cursor: str | None) -> Found: ...
    def reports(self, model: str | None, span: Span, beside: bool = False) -> Found: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """An action as it was asked for, before the server pins its parameters. What a kind has no use for is None."""

    kind: ActionKind
    model: str
    to_version: str | None = None
    features: tuple[str, ...] = ()
    monitor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ProposalSink(Protocol):
    """Where proposals go: `{id, kind, risk, state, approve_by, digest}` of the one that now waits for a person.

    Raises: NotAllowed, InvalidInput, NotFound, Conflict, Unavailable; nothing was filed then.
    """

    def propose(self, wanted: Wanted, why: str, caller: Caller) -> Mapping[str, Any]: ...


class Trials(Protocol):
    """Trying an action in memory, on recent labelled rows; logs and changes nothing."""

    def what_if(self, model: str, action: str, to_version: str | None) -> Found: ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One caller's view at one time."""

    now: datetime
    caller: Caller
    records: Records
    proposals: ProposalSink
    trials: Trials
