"""What one caller may see: the rest is not there, in lists, by name and by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from agent.domain.errors import InvalidInput, NotFound
from agent.store import queries
from agent.store.tables import Execution, Incident, Model, Proposal
from ml.spec import ModelSpec
from tools.context import Caller, Item, Span

Row = TypeVar("Row", Incident, Proposal)
Keys = tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]]
PAGE = 60


@dataclass(frozen=True, slots=True)
class Sight:
    """A session as one caller sees it at one time."""

    session: Session
    caller: Caller
    now: datetime

    def names(self) -> list[str]:
        return [name for name in queries.model_names(self.session) if self.caller.sees(name)]

    def spec(self, model: str) -> ModelSpec:
        """Raises: NotFound naming the models that the caller may see."""
        if not self.caller.sees(model) or self.session.get(Model, model) is None:
            names = self.names()
            known = f"the models are {', '.join(names[:40])}" if names else "there is no model that you may see"
            raise NotFound(f"There is no model {model[:80]!r}; {known}.")
        return queries.spec_of(self.session, model)

    def within(self, column: InstrumentedAttribute[str], model: str | None) -> ColumnElement[bool]:
        """The condition that a row's model is the one asked for, or any that the caller may see."""
        if model is not None:
            self.spec(model)
            return column == model
        return column.is_not(None) if self.caller.models is None else column.in_(self.names())

    def by_id(self, table: type[Row], wanted: str) -> Row:
        """A record by its id or the start of it. Raises: NotFound, InvalidInput when several match."""
        row = queries.by_id(self.session, table, wanted)
        if not self.caller.sees(row.model):
            raise NotFound(f"There is no {table.__tablename__} {wanted[:40]!r}.")
        return row

    def execution(self, wanted: str) -> tuple[Execution, Proposal]:
        """An execution by its id or its proposal's. Raises: NotFound, InvalidInput."""
        found = self.session.execute(
            select(Execution, Proposal)
            .join(Proposal, Proposal.id == Execution.proposal_id)
            .where(
                or_(
                    Execution.id.startswith(wanted, autoescape=True),
                    Proposal.id.startswith(wanted, autoescape=True),
                ),
                self.within(Proposal.model, None),
            )
            .limit(2)
        ).all()
        if not found:
            raise NotFound(f"There is no execution {wanted[:40]!r}; leave `id` out for the latest.")
        if len(found) > 1:
            raise InvalidInput(f"Several executions start with {wanted[:40]!r}; write more of the id.")
        execution, proposal = found[0]
        return execution, proposal


def page(
    session: Session, query: Select[Any], keys: Keys, cursor: str | None, most: int = PAGE
) -> tuple[Sequence[Any], bool]:
    """One page of rows, newest first, after `cursor`; and whether there are more. `keys`: a time and a unique id."""
    moment, unique = keys
    if cursor is not None:
        at, last = read_cursor(cursor)
        kind: Any = unique.type.python_type
        try:
            after = and_(moment == at, unique < kind(last))
        except ValueError:
            raise InvalidInput(NOT_OURS) from None
        query = query.where(or_(moment < at, after))
    rows = session.scalars(query.order_by(moment.desc(), unique.desc()).limit(most + 1)).all()
    return rows[:most], len(rows) > most


NOT_OURS = "cursor: this is not the `next` of an earlier page; start again without it."


def cursor_of(at: datetime, unique: str | int) -> str:
    return f"{at.isoformat()}~{unique}"


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Raises: InvalidInput for a text that was no `next`."""
    at, _, last = cursor.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise InvalidInput(NOT_OURS) from None
    if moment.tzinfo is None or not last or len(last) > 40 or (last.isdigit() and int(last) >= 2**63):
        raise InvalidInput(NOT_OURS)
    return moment, last


def numbered(
    entries: Sequence[dict[str, Any]], cursor: str | None, evidence: Sequence[tuple[str, ...]] = ()
) -> list[Item]:
    """Entries of a list that was put in order at once; the cursor is the place. Raises: InvalidInput."""
    try:
        start = 0 if cursor is None else int(cursor)
    except ValueError:
        raise InvalidInput(NOT_OURS) from None
    if not 0 <= start < 10**9:
        raise InvalidInput(NOT_OURS)
    cited = list(evidence) or [()] * len(entries)
    return [Item(entry, str(place + 1), cited[place]) for place, entry in enumerate(entries) if place >= start]


def timed(column: InstrumentedAttribute[datetime], span: Span) -> list[ColumnElement[bool]]:
    """The conditions that a time lies in a span."""
    found: list[ColumnElement[bool]] = []
    if span.since is not None:
        found.append(column >= span.since)
    if span.until is not None:
        found.append(column <= span.until)
    return found
