"""What a path names must be of a model that whoever asks may see; else it is not there. For every route at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request

from agent.doors.principal import Principal, require_sight
from agent.pipeline.services import Services
from agent.store.tables import Alert, Base, Diagnosis, Execution, Incident, Proposal, Report, Silence

RECORDS: dict[str, type[Base]] = {
    "a": Alert,
    "d": Diagnosis,
    "i": Incident,
    "p": Proposal,
    "q": Silence,
    "s": Silence,
    "t": Report,
    "x": Execution,
}
"""The tables of records that belong to a model, by the letter that their ids start with."""
MOST = 50


def require_path_in_sight(request: Request, services: Services, principal: Principal) -> None:
    """Raises: NotFound. People and tokens that may see every model pass without a look."""
    if principal.models is None:
        return
    for name, value in request.path_params.items():
        wanted = str(value)
        if name in ("name", "model"):
            require_sight(principal, wanted, f"There is no model {wanted[:100]!r}.")
        elif name.endswith("id"):
            with services.store.read() as session:
                for model in models_of(session, wanted):
                    require_sight(principal, model, f"There is no record {wanted[:100]!r}.")


def models_of(session: Session, wanted: str) -> Iterator[str | None]:
    """The models of the records whose ids start like this; None for one that is about several or none."""
    letter, dash, _ = wanted.partition("-")
    tables = [RECORDS[letter]] if dash and letter in RECORDS else list(RECORDS.values())
    for table in dict.fromkeys(tables):
        key: Any = table.__table__.c.id
        column = table.__table__.c.get("model")
        query = select(key if column is None else column).where(key.startswith(wanted, autoescape=True)).limit(MOST)
        if column is None:  # a diagnosis is of its incident's model
            query = select(Incident.model).join(table, table.incident_id == Incident.id)  # type: ignore[attr-defined]
            query = query.where(key.startswith(wanted, autoescape=True)).limit(MOST)
        yield from session.scalars(query)
