"""Events from outside: kept, then acknowledged, then worked on, at least once and under one key.

`keep` belongs to the transaction of whoever acknowledges; when it has committed, nothing is lost. `work_due` runs in
any number of processes at once: each event is claimed by a conditional update with a lease that is renewed while its
handler runs, and events of one source and lane go one after the other. A handler that finds something out of reach is
called again after a pause, so it must bear being called twice with the same event.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Select, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.dml import ReturningInsert

from agent.domain.errors import Conflict, Unavailable, WatchkeeperError
from agent.pipeline.services import Services
from agent.store.tables import InboundEvent

Handler = Callable[[Services, dict[str, Any]], None]

LEASE = timedelta(seconds=30)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
TRIES = 10
"""While what is needed is out of reach: a quarter of an hour. A fault of ours is tried half as often."""
KEPT = timedelta(days=7)
"""What was worked on is forgotten after so long: long after any sender has stopped repeating it."""
log = logging.getLogger(__name__)


def keep(
    session: Session,
    *,
    source: str,
    key: str,
    body: dict[str, Any],
    at: datetime,
    lane: str = "",
    urgent: bool = False,
    proof: str = "",
) -> bool:
    """Keep an event; False when one of that source and key is there already.

    lane: within it events are worked on in order; "" is the whole source.
    """
    row = row_of(source=source, key=key, body=body, at=at, lane=lane, urgent=urgent, proof=proof)
    return session.connection().execute(keeping(session.get_bind().dialect.name), [row]).first() is not None


def row_of(
    *, source: str, key: str, body: dict[str, Any], at: datetime, lane: str = "", urgent: bool = False, proof: str = ""
) -> dict[str, Any]:
    """The row of an event, as `kept` takes it."""
    return {
        "source": source,
        "key": key,
        "lane": lane,
        "urgent": urgent,
        "body": body,
        "proofs": [proof] if proof else [],
        "received_at": at,
        "state": "waiting",
        "attempts": 0,
        "claim": "",
        "error": "",
    }


def keeping(dialect: str) -> ReturningInsert[str, str]:
    """The statement that keeps as many as it is given rows, and returns (source, key) of those that are new."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(InboundEvent).on_conflict_do_nothing(index_elements=["source", "key"])
    return statement.returning(InboundEvent.source, InboundEvent.key)


def seen_with(session: Session, source: str, key: str, proof: str) -> bool:
    """Whether an event came with this very signature before; if not, from now on it has."""
    row = session.scalar(
        select(InboundEvent).where(InboundEvent.source == source, InboundEvent.key == key).with_for_update()
    )
    if row is None:
        return False
    if proof in row.proofs:
        return True
    row.proofs = [*row.proofs, proof]
    return False


def fingerprint(text: str | bytes) -> str:
    """A short key for what has no id of its own."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that is ours until the lease runs out."""

    id: int
    source: str
    body: dict[str, Any]
    attempts: int
    token: str


def work_due(
    services: Services, handlers: Mapping[str, Handler], *, urgent: bool | None = None, most: int | None = None
) -> int:
    """Work on what is due for these sources, in order of arrival, until nothing is; how many were tried.

    urgent: only what somebody waits for, or only the rest. most: return after so many.
    """
    tried = 0
    while (most is None or tried < most) and (claim := claim_next(services, handlers, urgent=urgent)) is not None:
        work(services, handlers[claim.source], claim)
        tried += 1
    return tried


def claim_next(services: Services, sources: Mapping[str, Any], *, urgent: bool | None = None) -> Claim | None:
    """Take the first event that may be worked on now. None when there is none."""
    with services.store.read() as session:  # most of the time nothing is there: no need for the writer's lock
        if not sources or session.scalar(_due(services, sources, urgent)) is None:
            return None
    with services.store.precedence.after(), services.store.write() as session:
        wall = services.wall()
        row = session.scalar(_due(services, sources, urgent).with_for_update(skip_locked=True, of=InboundEvent))
        if row is None:
            return None
        row.attempts += 1
        row.claim, row.claimed_until = secrets.token_hex(8), wall + LEASE
        if row.attempts > TRIES:
            _end(row, "failed", wall, f"begun {TRIES} times and never ended: {row.error or 'the process died'}")
        return Claim(row.id, row.source, row.body, row.attempts, row.claim)


def _due(services: Services, sources: Mapping[str, Any], urgent: bool | None) -> Select[InboundEvent]:
    wall, earlier = services.wall(), aliased(InboundEvent)
    before = exists().where(
        earlier.source == InboundEvent.source,
        earlier.lane == InboundEvent.lane,
        earlier.state == "waiting",
        earlier.id < InboundEvent.id,
    )
    wanted = and_(
        InboundEvent.state == "waiting",
        InboundEvent.source.in_(list(sources)),
        or_(InboundEvent.next_try_at.is_(None), InboundEvent.next_try_at <= wall),
        or_(InboundEvent.claimed_until.is_(None), InboundEvent.claimed_until <= wall),
        ~before,
    )
    if urgent is not None:
        wanted = and_(wanted, InboundEvent.urgent.is_(urgent))
    return select(InboundEvent).where(wanted).order_by(InboundEvent.id).limit(1)


def work(services: Services, handler: Handler, claim: Claim) -> bool:
    """Call the handler of a claimed event and write down how it ended; whether it is done."""
    if claim.attempts > TRIES:
        return False
    problem: Exception | None = None
    with _renewed(services, claim):
        try:
            handler(services, dict(claim.body))
        except WatchkeeperError as error:
            problem = error
            log.warning("%s event %s: %s", claim.source, claim.id, error)
        except Exception as error:
            problem = error
            log.exception("%s event %s", claim.source, claim.id)
    with services.store.precedence.after(), services.store.write() as session:
        row = session.scalar(_ours(claim).with_for_update())
        if row is None:
            log.warning("%s event %s was taken over by another worker", claim.source, claim.id)
            return False
        _settle(row, problem, services.wall())
        return row.state == "done"


def _settle(row: InboundEvent, problem: Exception | None, wall: datetime) -> None:
    if problem is None:
        _end(row, "done", wall, "")
        return
    said = str(problem) if isinstance(problem, WatchkeeperError) else f"{type(problem).__name__}: {problem}"
    if isinstance(problem, WatchkeeperError):
        tries = TRIES if isinstance(problem, Unavailable | Conflict) else 1
    else:
        tries = TRIES // 2
    if row.attempts >= tries:
        _end(row, "failed", wall, said)
        return
    row.error, row.claim, row.claimed_until = said, "", None
    row.next_try_at = wall + min(FIRST_PAUSE * 2 ** (row.attempts - 1), LONGEST_PAUSE)


def _end(row: InboundEvent, state: str, wall: datetime, error: str) -> None:
    row.state, row.error, row.ended_at, row.claimed_until = state, error, wall, None


def _ours(claim: Claim) -> Select[InboundEvent]:
    return select(InboundEvent).where(
        InboundEvent.id == claim.id, InboundEvent.claim == claim.token, InboundEvent.state == "waiting"
    )


@contextmanager
def _renewed(services: Services, claim: Claim) -> Iterator[None]:
    """Keep the lease for as long as the block lasts: an answer of a language model may take longer than it."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(LEASE.total_seconds() / 3):
            try:
                with services.store.precedence.after(), services.store.write() as session:
                    lease = services.wall() + LEASE
                    ours = and_(InboundEvent.id == claim.id, InboundEvent.claim == claim.token)
                    session.execute(update(InboundEvent).where(ours).values(claimed_until=lease))
            except WatchkeeperError as error:
                log.warning("the lease of %s event %s: %s", claim.source, claim.id, error)

    beat = threading.Thread(target=renew, name="inbox-lease", daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


def try_again(session: Session, source: str | None = None) -> int:
    """What failed for good is tried once more from the start; how many."""
    failed = InboundEvent.state == "failed"
    wanted = failed if source is None else and_(failed, InboundEvent.source == source)
    again = {"state": "waiting", "attempts": 0, "claim": "", "next_try_at": None, "ended_at": None}
    found = session.execute(update(InboundEvent).where(wanted).values(**again))
    assert isinstance(found, CursorResult)
    return found.rowcount


def forget(services: Services) -> int:
    """Delete what was worked on long ago (people's words stand in it); what failed stays four times as long."""
    wall = services.wall()
    with services.store.write() as session:
        done = and_(InboundEvent.state == "done", InboundEvent.ended_at < wall - KEPT)
        failed = and_(InboundEvent.state == "failed", InboundEvent.ended_at < wall - 4 * KEPT)
        found = session.execute(delete(InboundEvent).where(or_(done, failed)))
        assert isinstance(found, CursorResult)
        return found.rowcount
