"""A report that somebody asks for: its facts are kept, and it is sent like any other."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from agent.domain.errors import InvalidInput
from agent.pipeline.reporting import Wanted, gather, report_row
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.changes import promise
from agent.store.tables import Outbox
from ml.errors import SpecError
from ml.spec import parse_duration

LONGEST = timedelta(days=366)


def request_report(services: Services, model: str, length: str, address: str, *, key: str, by: str) -> str:
    """The id of the report; asked for again under the same key it is the same. Raises: InvalidInput, NotFound."""
    try:
        span = parse_duration(length)
    except (SpecError, ValueError):
        raise InvalidInput(f"{length[:40]!r} is no length of time; write 7d, 24h or 2w.") from None
    if not timedelta(0) < span <= LONGEST:
        raise InvalidInput("A report covers more than nothing and at most a year; write 7d, 24h or 2w.")
    wanted = f"report:asked:{key}"
    with services.store.read() as session:
        known = session.scalar(select(Outbox.subject).where(Outbox.key == wanted))
        if known is not None:
            return known
        at = services.now(session)
    facts = gather(services, Wanted(model=model, start=at - span, end=at))
    with services.store.write() as session:
        row = report_row(facts, at=at)
        session.add(row)
        session.flush()
        promise(
            session,
            key=wanted,
            kind="report",
            recipient=address,
            title=f"{model}: the last {length}",
            body=str(facts.get("summary") or ""),
            subject=row.id,
            at=at,
            files=({"report": row.id, "format": "pdf"},),
        )
        audit.append(session, at=at, actor=by, event="report asked for", subject=row.id, data={"model": model})
        return row.id
