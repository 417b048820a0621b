"""Whoever owns the database can drop its triggers; and then do this."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from agent.store import audit
from agent.store.session import Store
from agent.store.tables import AuditEvent, AuditHead
from tools.actions import canonical_json

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def write(store: Store, count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        with store.write() as session:
            data = {"n": number, "tiny": 1.5e-9, "huge": 1e22, "zero": -0.0, "text": 'ü\u202e"\\'}
            audit.append(session, at=NOW, actor="ann", event="tested", subject=f"s-{number % 3}", data=data)


def drop_triggers(session: Session) -> None:
    """With the rights of the tables' owner."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        session.execute(text("ALTER TABLE audit_head DISABLE TRIGGER ALL"))
        return
    for (name,) in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
        session.execute(text(f"DROP TRIGGER {name}"))


def change(session: Session, wanted: int, **values: Any) -> None:
    session.execute(update(AuditEvent).where(AuditEvent.seq == wanted).values(**values))


def rehash(session: Session, seq: int) -> None:
    """Give an event the hash of what it says now."""
    row = session.get_one(AuditEvent, seq, populate_existing=True)
    text_ = canonical_json(row.data).decode()
    made = audit.link(row.seq, row.at.isoformat(), row.actor, row.event, row.subject, text_, row.previous)
    change(session, seq, hash=made)


def _edit(session: Session, rng: random.Random, n: int) -> set[int]:
    seq = rng.randint(1, n)
    column, value = rng.choice(
        [
            ("actor", "eve"),
            ("event", "tested "),
            ("subject", ""),
            ("data", {"n": -1}),
            ("data", {"n": seq - 1, "tiny": 1.5e-9, "huge": 1e22, "zero": 0.0, "text": 'ü\u202e"\\'}),
            ("at", NOW + timedelta(microseconds=1)),
            ("previous", "f" * 64),
            ("hash", f"{rng.randrange(16**64):064x}"),
        ]
    )
    change(session, seq, **{column: value})
    return {seq}


def _edit_and_rehash(session: Session, rng: random.Random, n: int) -> set[int]:
    """Found where the next event no longer follows; at the end, where the end no longer fits."""
    seq = rng.randint(1, n)
    change(session, seq, actor="eve")
    rehash(session, seq)
    return {seq, seq + 1}


def _delete(session: Session, rng: random.Random, n: int) -> set[int]:
    first = rng.randint(1, n)
    last = rng.randint(first, n)
    session.execute(delete(AuditEvent).where(AuditEvent.seq.between(first, last)))
    return {first}


def _swap(session: Session, rng: random.Random, n: int) -> set[int]:
    first, second = sorted(rng.sample(range(1, n + 1), 2))
    for before, after in ((first, -1), (second, first), (-1, second)):
        session.execute(text("UPDATE audit SET seq = :after WHERE seq = :before"), {"before": before, "after": after})
    return {first}


def _close_the_gap(session: Session, rng: random.Random, n: int) -> set[int]:
    """Delete an event and renumber what follows."""
    seq = rng.randint(1, n - 1)
    session.execute(delete(AuditEvent).where(AuditEvent.seq == seq))
    for later in range(seq + 1, n + 1):
        change(session, later, seq=later - 1)
    return {seq}


def _cut(session: Session, rng: random.Random, n: int) -> set[int]:
    """Cut the tail off; perhaps set the recorded end back, with a hash that is not quite the right one."""
    last = rng.randint(0, n - 1)
    session.execute(delete(AuditEvent).where(AuditEvent.seq > last))
    if last and rng.random() < 0.5:
        session.execute(update(AuditHead).values(seq=last))
        return {last}
    return {last + 1}


def _forge(session: Session, rng: random.Random, n: int) -> set[int]:
    """An event more, rightly chained, that was never appended."""
    last = session.get_one(AuditEvent, n)
    made = audit.link(n + 1, NOW.isoformat(), "ann", "decision approve", "p-1", "{}", last.hash)
    session.add(
        AuditEvent(
            seq=n + 1,
            at=NOW,
            actor="ann",
            event="decision approve",
            subject="p-1",
            data={},
            previous=last.hash,
            hash=made,
        )
    )
    session.flush()
    return {n + 1}


def _move_the_end(session: Session, rng: random.Random, n: int) -> set[int]:
    seq = rng.choice([rng.randint(0, n - 1), n + rng.randint(1, 5)])
    session.execute(update(AuditHead).values(seq=seq))
    return {min(seq, n) + 1}


def _forget_the_end(session: Session, rng: random.Random, n: int) -> set[int]:
    session.execute(delete(AuditHead))
    return {n + 1}


TAMPERINGS: tuple[Callable[[Session, random.Random, int], set[int]], ...] = (
    _edit, _edit, _edit_and_rehash, _delete, _swap, _close_the_gap, _cut, _forge, _move_the_end, _forget_the_end,
)  # fmt: skip
"""Each does its damage and says at which event it may be located."""
