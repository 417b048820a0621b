"""The audit: append-only, each event bound to all before it by a hash, in the transaction of the change it records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.store.tables import AuditEvent, AuditHead
from tools.actions import canonical_json

GENESIS = "0" * 64


def event_hash(
    seq: int, at: datetime, actor: str, event: str, subject: str, data: Mapping[str, Any], previous: str
) -> str:
    """SHA-256 over the event's canonical JSON and the hash before it."""
    content = {
        "seq": seq,
        "at": at.isoformat(),
        "actor": actor,
        "event": event,
        "subject": subject,
        "data": dict(data),
        "previous": previous,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def append(
    session: Session, *, at: datetime, actor: str, event: str, subject: str, data: Mapping[str, Any] | None = None
) -> AuditEvent:
    """Add one event to the chain. `data` is plain JSON. The head's row lock puts concurrent appends in order."""
    head = session.execute(select(AuditHead).where(AuditHead.id == 1).with_for_update()).scalar_one()
    session.refresh(head)
    seq, payload = head.seq + 1, dict(data or {})
    row = AuditEvent(
        seq=seq,
        at=at,
        actor=actor,
        event=event,
        subject=subject,
        data=payload,
        previous=head.hash,
        hash=event_hash(seq, at, actor, event, subject, payload, head.hash),
    )
    session.add(row)
    head.seq, head.hash = seq, row.hash
    session.flush()
    return row


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain is broken, and how."""

    seq: int
    what: str


def verify(session: Session) -> tuple[int, Fault | None]:
    """Walk the whole chain: how many events it has, and the first fault (None when it is whole)."""
    columns = (
        AuditEvent.seq,
        AuditEvent.at,
        AuditEvent.actor,
        AuditEvent.event,
        AuditEvent.subject,
        AuditEvent.data,
        AuditEvent.previous,
        AuditEvent.hash,
    )
    query = select(*columns).order_by(AuditEvent.seq).execution_options(yield_per=2000)
    previous, expected = GENESIS, 1
    with session.execute(query) as rows:
        for seq, at, actor, event, subject, data, before, found in rows:
            if seq != expected:
                return expected - 1, Fault(expected, f"event {expected} is missing (the next one is {seq})")
            if before != previous:
                return expected - 1, Fault(seq, f"event {seq} does not follow from event {seq - 1}")
            if event_hash(seq, at, actor, event, subject, data, before) != found:
                return expected - 1, Fault(seq, f"event {seq} was changed after it was written")
            previous, expected = found, expected + 1
    head = session.get(AuditHead, 1)
    if head is None or (head.seq, head.hash) != (expected - 1, previous):
        return expected - 1, Fault(
            expected, f"the chain ends at event {expected - 1}, but {head.seq if head else 'no'} were written"
        )
    return expected - 1, None
